"""`tools/settle.sh`: what Flagger took back is reverted and banned in the repository, and nothing else is pushed."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.learning import git

GOOD, BAD = (f"sha256:{letter * 64}" for letter in "12")
WORKFLOW = ROOT / ".github/workflows/settle.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    """A checkout, where it came from, and the cluster's answers."""

    origin: Path
    checkout: Path
    answers: Path
    programs: Path

    def answer(self, phase: str, tried: str, kept: str) -> None:
        def deployment(name: str, digest: str) -> dict[str, object]:
            containers = [{"name": "mlapi", "image": f"registry.example.com/mlapi@{digest}"}]
            return {
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {"template": {"spec": {"containers": containers}}},
            }

        canary = {"kind": "Canary", "metadata": {"name": "mlapi"}, "status": {"phase": phase}}
        items = [canary, deployment("mlapi", tried), deployment("mlapi-primary", kept)]
        self.answers.write_text(json.dumps({"kind": "List", "items": items}), encoding="utf-8")

    def settle(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        path = f"{self.programs}:/usr/local/bin:/usr/bin:/bin"
        return subprocess.run(
            [self.checkout / "tools/settle.sh", *arguments],
            env={"PATH": path, "HOME": str(self.programs), "SETTLE_WAIT_S": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

    def file(self, name: str) -> str:
        return git(self.origin, "show", f"main:.k8s/environments/{name}")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A repository whose production went from a good version to a bad one."""
    made = Place(tmp_path / "origin.git", tmp_path / "checkout", tmp_path / "answers.json", tmp_path / "programs")
    git(tmp_path, "init", "--quiet", "--bare", str(made.origin))
    git(tmp_path, "clone", "--quiet", str(made.origin), str(made.checkout))
    (made.checkout / "tools").mkdir()
    for name in ("settle.sh", "promotion.py", "__init__.py"):
        shutil.copy2(ROOT / "tools" / name, made.checkout / "tools" / name)
    (made.checkout / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    shutil.copytree(ROOT / ".k8s/environments", made.checkout / ".k8s/environments")
    git(made.checkout, "add", ".")
    git(made.checkout, "commit", "--quiet", "--message", "none")
    file = made.checkout / ".k8s/environments/prod/kustomization.yaml"
    before = f"sha256:{'0' * 64}"
    for digest in (GOOD, BAD):
        file.write_text(file.read_text(encoding="utf-8").replace(before, digest), encoding="utf-8")
        git(made.checkout, "commit", "--quiet", "--all", "--message", f"prod: run {digest}")
        before = digest
    git(made.checkout, "push", "--quiet", "origin", "HEAD:main")
    made.programs.mkdir()
    kubectl = made.programs / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\nexec cat {made.answers}\n', encoding="utf-8")
    kubectl.chmod(0o755)
    return made


def test_what_was_taken_back_is_reverted_and_banned_once(place: Place) -> None:
    place.answer("Failed", BAD, GOOD)
    done = place.settle("prod")
    assert done.returncode == 0, done.stderr
    assert GOOD in place.file("prod/kustomization.yaml")
    assert BAD not in place.file("prod/kustomization.yaml")
    assert BAD in place.file("banned.txt")
    assert git(place.origin, "log", "--format=%s", "--max-count=1", "main").startswith("prod: roll back from")
    assert "--namespace mlapi " in (place.origin.parent / "calls").read_text(encoding="utf-8")
    head = git(place.origin, "rev-parse", "main")
    assert "nothing to do" in place.settle("prod").stdout
    assert git(place.origin, "rev-parse", "main") == head


def test_a_version_that_is_good_or_judged_yet_is_left_alone(place: Place) -> None:
    head = git(place.origin, "rev-parse", "main")
    for phase in ("Succeeded", "Progressing", "Promoting"):
        place.answer(phase, BAD, GOOD)
        done = place.settle("prod")
        assert (done.returncode, "nothing to do" in done.stdout) == (0, True), done.stderr
    assert git(place.origin, "rev-parse", "main") == head


def test_a_version_that_flagger_has_not_looked_at_yet_is_let_be(place: Place) -> None:
    """Its word is of the version before for as long as an interval: the second look says so."""
    place.answer("Progressing", BAD, GOOD)
    later = place.answers.read_text(encoding="utf-8")
    place.answer("Failed", BAD, GOOD)
    calls = place.origin.parent / "calls"
    (place.programs / "later").write_text(later, encoding="utf-8")
    kubectl = place.programs / "kubectl"
    kubectl.write_text(
        f"#!/bin/sh\n[ -e {calls} ] && exec cat {place.programs}/later\necho >{calls}\nexec cat {place.answers}\n",
        encoding="utf-8",
    )
    head = git(place.origin, "rev-parse", "main")
    done = place.settle("prod")
    assert (done.returncode, "nothing to do" in done.stdout) == (0, True), done.stderr
    assert git(place.origin, "rev-parse", "main") == head


def test_a_branch_that_moved_is_not_overwritten_and_the_next_call_does_it(place: Place) -> None:
    other = place.origin.parent / "other"
    git(place.origin.parent, "clone", "--quiet", "--branch", "main", str(place.origin), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "somebody else's")
    git(other, "push", "--quiet", "origin", "HEAD:main")
    head = git(place.origin, "rev-parse", "main")
    place.answer("Failed", BAD, GOOD)
    done = place.settle("prod")
    assert (done.returncode, "has moved" in done.stderr) == (1, True)
    assert git(place.origin, "rev-parse", "main") == head
    git(place.checkout, "pull", "--quiet", "--ff-only", "origin", "main")
    assert place.settle("prod").returncode == 0
    assert BAD in place.file("banned.txt")


def test_a_cluster_that_does_not_answer_changes_nothing(place: Place) -> None:
    place.answers.write_text("", encoding="utf-8")
    head = git(place.checkout, "rev-parse", "HEAD")
    assert place.settle("prod").returncode == 1
    assert git(place.checkout, "rev-parse", "HEAD") == head
    assert place.settle("dev").returncode == 2  # nothing is judged there


def test_it_is_called_every_few_minutes_for_each_environment_that_is_judged() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    judged = [
        file.parent.name
        for file in sorted((ROOT / ".k8s/environments").glob("*/kustomization.yaml"))
        if "components/canary" in file.read_text(encoding="utf-8")
    ]
    assert sorted(job["strategy"]["matrix"]["environment"]) == judged
    # Two at the same time would push to the same branch.
    assert job["strategy"]["max-parallel"] == 1
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "write", "id-token": "write"}
    for step in job["steps"]:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", f"a/b@{'0' * 40}"))
    (checkout,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0, "what ran before is in the history"
    assert job["steps"][-1]["run"] == 'tools/settle.sh "$ENVIRONMENT"'
