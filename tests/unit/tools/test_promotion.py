"""Promotion and rollback as commits: what moves, what must not, and that a failed version never comes back."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.promotion import ENVIRONMENTS, PromotionError, Repository, main, promote, roll_back, settle

FIRST, SECOND, THIRD = (f"sha256:{letter * 64}" for letter in "123")
Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository with the three environments, none of which runs anything."""

    def run(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run("init", "--quiet")
    run("config", "user.name", "test")
    run("config", "user.email", "test@example.com")
    for name in ENVIRONMENTS:
        file = tmp_path / ".k8s/environments" / name / "kustomization.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"images:\n  - name: a\n    digest: sha256:{'0' * 64}\n", encoding="utf-8")
    run("add", ".")
    run("commit", "--quiet", "--message", "none")
    return run


@pytest.fixture
def repository(git: Git, tmp_path: Path) -> Repository:
    del git
    return Repository(tmp_path)


def objects(phase: str, tried: str, kept: str) -> io.StringIO:
    def deployment(name: str, digest: str) -> dict[str, object]:
        containers = [{"name": "mlapi", "image": f"registry.example.com/mlapi@{digest}"}]
        spec = {"template": {"spec": {"containers": containers}}}
        return {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}

    canary = {"kind": "Canary", "metadata": {"name": "mlapi"}, "status": {"phase": phase}}
    items = [canary, deployment("mlapi", tried), deployment("mlapi-primary", kept)]
    return io.StringIO(json.dumps({"kind": "List", "items": items}))


def test_a_version_goes_from_one_environment_to_the_next(repository: Repository, git: Git) -> None:
    repository.move("dev", FIRST, "run it")
    promote(repository, "staging")
    promote(repository, "prod")
    assert [repository.digest(name) for name in ENVIRONMENTS] == [FIRST] * 3
    subjects = git("log", "--format=%s").splitlines()
    assert subjects[:2] == [f"prod: promote {FIRST[:19]} from staging", f"staging: promote {FIRST[:19]} from dev"]
    assert git("status", "--porcelain") == ""


def test_a_rollback_bans_what_it_leaves_for_good(repository: Repository) -> None:
    repository.move("prod", FIRST, "good")
    repository.move("prod", SECOND, "bad")
    assert "is banned" in roll_back(repository, "prod")
    assert repository.digest("prod") == FIRST
    with pytest.raises(PromotionError, match="is banned"):
        repository.move("prod", SECOND, "once more")
    # Nor by way of another environment, or as what was there before the next one.
    with pytest.raises(PromotionError, match="is banned"):
        repository.move("dev", SECOND, "once more")
    repository.move("prod", THIRD, "another")
    roll_back(repository, "prod")
    assert repository.digest("prod") == FIRST


def test_there_may_be_nothing_to_go_back_to(repository: Repository) -> None:
    repository.move("prod", FIRST, "the first ever")
    with pytest.raises(PromotionError, match="no other digest"):
        roll_back(repository, "prod")
    assert repository.digest("prod") == FIRST
    assert repository.banned() == set()


@pytest.mark.parametrize(
    "digest", ["", "latest", "sha256:12", f"sha256:{'0' * 64}", f"{FIRST}\n  evil: true", FIRST.upper()]
)
def test_what_is_no_digest_of_an_image_is_refused(digest: str, repository: Repository) -> None:
    with pytest.raises(PromotionError, match="is not the digest"):
        repository.move("dev", digest, "run it")


def test_the_same_again_is_no_commit(repository: Repository, git: Git) -> None:
    repository.move("dev", FIRST, "run it")
    before = git("rev-parse", "HEAD")
    with pytest.raises(PromotionError, match="already"):
        repository.move("dev", FIRST, "run it")
    with pytest.raises(PromotionError, match="first environment"):
        promote(repository, "dev")
    assert git("rev-parse", "HEAD") == before


def test_work_that_is_not_committed_stays_out(repository: Repository, git: Git, tmp_path: Path) -> None:
    del git
    (tmp_path / ".k8s/environments/prod/kustomization.yaml").write_text(
        f"digest: sha256:{'0' * 64}\n  digest: sha256:{'0' * 64}\n", encoding="utf-8"
    )
    with pytest.raises(PromotionError, match="not committed"):
        repository.move("dev", FIRST, "run it")


def test_a_failed_rollout_is_settled_once(repository: Repository, git: Git) -> None:
    repository.move("prod", FIRST, "good")
    repository.move("prod", SECOND, "bad")
    assert "nothing to do" in settle(repository, "prod", objects("Progressing", SECOND, FIRST))
    assert "is banned" in settle(repository, "prod", objects("Failed", SECOND, FIRST))
    settled = git("rev-parse", "HEAD")
    # Not applied yet; and applied, with Flagger's word still the old one.
    for tried in (SECOND, FIRST):
        assert "nothing to do" in settle(repository, "prod", objects("Failed", tried, FIRST))
    assert git("rev-parse", "HEAD") == settled
    assert repository.digest("prod") == FIRST


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"items": []}', '{"items": [{"kind": "Canary"}]}'])
def test_what_is_not_flaggers_word_is_no_order(text: str, repository: Repository) -> None:
    repository.move("prod", FIRST, "good")
    with pytest.raises(PromotionError, match="kubectl get"):
        settle(repository, "prod", io.StringIO(text))


def test_what_failed_and_is_not_from_the_repository_is_told(repository: Repository) -> None:
    repository.move("prod", FIRST, "good")
    with pytest.raises(PromotionError, match="no digest"):
        settle(repository, "prod", objects("Failed", "", FIRST))
    assert "nothing to do" in settle(repository, "prod", objects("Succeeded", "", FIRST))


def test_the_command_says_what_it_did_and_why_not(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.root)
    assert main(["set", "dev", FIRST]) == 0
    assert main(["show", "dev"]) == 0
    assert main(["promote", "prod"]) == 1  # staging has none yet
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"dev is to run {FIRST}", FIRST]
    assert "is not the digest of an image" in said.err


def test_a_commit_that_git_refuses_leaves_nothing_behind(repository: Repository, git: Git) -> None:
    repository.move("prod", FIRST, "good")
    repository.move("prod", SECOND, "bad")
    hook = repository.root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    with pytest.raises(PromotionError, match="commit"):
        settle(repository, "prod", objects("Failed", SECOND, FIRST))
    assert git("status", "--porcelain") == ""
    hook.unlink()
    # What was not committed is not taken for done.
    assert "is banned" in settle(repository, "prod", objects("Failed", SECOND, FIRST))


@pytest.mark.parametrize(("phase", "tried"), [("Failed", SECOND), ("Progressing", THIRD)])
def test_a_version_that_flagger_has_not_looked_at_yet_is_not_what_failed(
    repository: Repository, phase: str, tried: str
) -> None:
    """Between two looks the next version came, or Flagger noticed it."""
    repository.move("prod", FIRST, "good")
    repository.move("prod", SECOND, "bad")
    settle(repository, "prod", objects("Failed", SECOND, FIRST))
    repository.move("prod", THIRD, "the next one")
    looks = [objects("Failed", THIRD, FIRST), objects(phase, tried, FIRST)]
    for now, earlier in (looks, looks[::-1]):
        assert "nothing to do" in settle(repository, "prod", now, earlier)
        now.seek(0)
        earlier.seek(0)
    assert repository.digest("prod") == THIRD
    now = objects("Failed", THIRD, FIRST)
    assert "is banned" in settle(repository, "prod", now, objects("Failed", THIRD, FIRST))
