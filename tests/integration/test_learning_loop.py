"""The learning loop with a real repository, a real store and real processes that are killed anywhere."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlapi.bundles.store import read_manifest
from mlapi.feedback.database import Database
from mlapi.feedback.keys import FeedbackKeys
from mlapi.feedback.postgres import PostgresDatabase
from mlapi.feedback.registry import Registry
from mlapi.feedback.runs import Runs, State, Trigger
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.settings import LAB_BUNDLE
from tests.dying_loop import AWAY, DIED, Turns
from tests.feedback_votes import store_over
from tests.learning import WHOLE, Deployment, contradicting, git
from tests.postgres_fixture import empty
from tests.service_process import eventually
from tools.private_postgres import PrivatePostgres

SECRET = "7" * 64
FIRST = read_manifest(LAB_BUNDLE).digest
TURNED = {"labels": ["POSITIVE", "NEGATIVE"]}
"""The shipped model with its labels turned round: right wherever opinions contradict it."""

PARTS = 3
"""Into which the commits of a whole turn are divided, so that no test takes too long on a slow machine."""


@pytest.fixture(scope="module")
def turns() -> Iterator[Turns]:
    process = Turns()
    yield process
    process.close()


def deployment(folder: Path, url: str = "", **kept: float) -> Deployment:
    """Return a deployment in which a run is requested, and a candidate is better than the champion."""
    folder.mkdir()
    (folder / "key").write_text(SECRET, encoding="ascii")
    fingerprint = FeedbackKeys(SECRET.encode()).fingerprint

    def open_database() -> Database:
        return PostgresDatabase(url, fingerprint) if url else SqliteDatabase(folder / "feedback.db", fingerprint)

    made = Deployment(
        folder,
        open_database,
        {
            "feedback_url": url or f"sqlite:///{folder}/feedback.db",
            "feedback_key_file": str(folder / "key"),
            "learn_file": str(folder / "learning.toml"),
        },
    )
    made.make_repository(FIRST)
    made.make_candidate(**TURNED)
    made.judge_frozen(FIRST)
    made.write_plan(lease_s=0.15)
    made.vote(contradicting(), **kept).close()
    request(made, "manual/lab/1")
    return made


def request(made: Deployment, key: str) -> None:
    database = made.open_database()
    Runs(database).request([Trigger(key, "lab", "to try it")], 2000)
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def learning(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    url = str(request.getfixturevalue("postgres_server").url) if request.param == "postgres" else ""
    return deployment(tmp_path / "deployment", url)


def finish(made: Deployment, turns: Turns) -> None:
    """Take turns until the run has ended; whoever was killed has it for a moment yet."""
    eventually(lambda: turns.take(made.settings).code in {0, 1} and made.run().ended, "ended", 20.0)


def check_promoted_once(made: Deployment) -> None:
    """Whatever happened on the way, this is what is left."""
    candidate = read_manifest(made.folder / "made").digest
    assert [step.state for step in made.steps()] == WHOLE
    assert candidate in made.deployed()
    assert FIRST not in made.deployed()
    assert made.commits() == [f"Deploy lab {candidate[:12]}", "Deploy the first model"]
    database = made.open_database()
    newest, oldest = Registry(database).lineage(candidate)
    assert [found.decision for found in newest.decisions] == ["promoted"]
    assert [found.decision for found in oldest.decisions] == ["promoted"]
    assert (newest.champion, newest.facts.parent) == (True, FIRST)
    assert newest.dataset is not None
    assert newest.facts.run == made.run().id
    with database.reading() as session:
        assert session.row("SELECT count(*) FROM datasets") == (1,)
        assert session.row("SELECT count(*) FROM learning_runs") == (1,)
    assert store_over(database).verify().faults == []
    database.close()
    # What people wrote is not kept once it has been learned from.
    assert not list((made.folder / "learning/datasets").iterdir())


def test_a_run_goes_through_all_states(learning: Deployment, turns: Turns) -> None:
    turn = turns.take(learning.settings)
    assert turn.code == 0
    check_promoted_once(learning)
    assert turns.take(learning.settings).code == 0
    check_promoted_once(learning)


@pytest.mark.parametrize(("commit", "after"), [(3, False), (9, True), (12, False), (15, True)])
def test_killed_it_goes_on(tmp_path: Path, turns: Turns, commit: int, *, after: bool) -> None:
    made = deployment(tmp_path / "deployment")
    assert turns.take(made.settings, commit=commit, after=after).code == DIED
    finish(made, turns)
    check_promoted_once(made)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_killed_before_or_after_any_commit_it_goes_on(
    tmp_path: Path, turns: Turns, store: str, part: int, request: pytest.FixtureRequest
) -> None:
    """Each commit of a whole turn in its turn: all that lies between two of them is done again, or was done."""
    url = ""
    if store == "postgres":
        url = str(request.getfixturevalue("postgres_server").url)
    commits = turns.take(deployment(tmp_path / "whole", url).settings).commits
    assert commits > len(WHOLE)
    for commit in range(1 + part * commits // PARTS, 1 + (part + 1) * commits // PARTS):
        for after in (False, True):
            if url:
                empty(url)
            made = deployment(tmp_path / f"{commit}-{after}", url)
            assert turns.take(made.settings, commit=commit, after=after).code == DIED
            finish(made, turns)
            check_promoted_once(made)


@pytest.mark.parametrize("commit", [8, 13])
def test_killed_it_goes_on_with_postgres_too(
    postgres_server: PrivatePostgres, tmp_path: Path, turns: Turns, commit: int
) -> None:
    made = deployment(tmp_path / "deployment", postgres_server.url)
    assert turns.take(made.settings, commit=commit, after=commit % 2 == 0).code == DIED
    finish(made, turns)
    check_promoted_once(made)


def test_of_two_turns_at_the_same_time_one_works(learning: Deployment, turns: Turns) -> None:
    learning.write_plan(lease_s=30.0)
    found = turns.take_together([(learning.settings, 10_000, True)] * 3)
    assert [turn.code for turn in found] == [0, 0, 0]
    check_promoted_once(learning)
    assert (learning.folder / "trained").read_text(encoding="utf-8") == "trained\n"


def test_a_database_that_restarts_meanwhile_loses_nothing(
    postgres_server: PrivatePostgres, tmp_path: Path, turns: Turns
) -> None:
    made = deployment(tmp_path / "deployment", postgres_server.url)
    script = made.folder / "train.sh"
    waits = f"until test -e {made.folder}/go; do sleep 0.02; done\ncp -r"
    script.write_text(script.read_text(encoding="utf-8").replace("cp -r", waits), encoding="utf-8")
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(turns.take(made.settings).code))
    thread.start()
    eventually((made.folder / "trained").exists, "the training has begun")
    postgres_server.kill()
    (made.folder / "go").touch()
    thread.join(20)
    assert codes == [AWAY]
    postgres_server.restart()
    finish(made, turns)
    check_promoted_once(made)


def test_what_the_gate_refuses_is_never_proposed(learning: Deployment, turns: Turns) -> None:
    worse = learning.make_candidate(pad_id=1)  # another digest, the same answers
    learning.judge_frozen(FIRST, won=0, lost=100, agreement=0.7)
    assert turns.take(learning.settings).code == 0
    run = learning.run()
    assert run.state is State.REJECTED
    assert "on frozen up to 0.1156 of accuracy may be lost (0 won, 100 lost of 1000)" in run.facts.lacking[0]
    assert "agreement with the champion on frozen is 0.7000" in run.facts.lacking[1]
    assert "texts with fresh opinions it is not better: 0 won, 0 lost, p 1.0000" in run.facts.lacking[2]
    assert learning.commits() == ["Deploy the first model"]
    database = learning.open_database()
    assert Registry(database).banned(worse).startswith("rejected: on frozen")
    database.close()
    request(learning, "manual/lab/2")
    assert turns.take(learning.settings).code == 0
    assert learning.run().state is State.REJECTED
    assert learning.steps()[-1].note.startswith(f"{worse[:12]} was rejected")


def test_a_bad_model_is_taken_back_and_banned(learning: Deployment, turns: Turns) -> None:
    bad = learning.make_candidate(**TURNED)
    turns.take(learning.settings)
    check_promoted_once(learning)
    database = learning.open_database()
    assert Registry(database).roll_back(bad, "flips labels", 5000) == FIRST
    database.close()
    assert turns.take(learning.settings).code == 0
    assert FIRST in learning.deployed()
    assert bad not in learning.deployed()
    assert learning.commits()[0] == f"Roll lab back to {FIRST[:12]}"
    assert learning.run().state is State.ROLLED_BACK
    # The same texts give the same model: it is known, and does not even come to the gate.
    request(learning, "manual/lab/2")
    assert turns.take(learning.settings).code == 0
    assert learning.run().state is State.REJECTED
    assert len(learning.commits()) == 3


def test_a_branch_that_moved_is_not_overwritten(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment")
    clone = made.folder / "clone"
    (clone / "overlays/prod/model.yaml").write_text(f"digest: {'e' * 64}\n", encoding="utf-8")
    git(clone, "commit", "--quiet", "-am", "Deploy something else by hand")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    assert turns.take(made.settings).code == 1
    run = made.run()
    assert (run.state, run.facts.stale) == (State.FAILED, 3)
    assert "does not name" in made.steps()[-1].note
    assert made.commits()[0] == "Deploy something else by hand"


def test_a_repository_that_is_away_is_asked_again(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment")
    made.repository.rename(made.folder / "away")
    assert turns.take(made.settings).code == 1
    run = made.run()
    assert run.state is State.PROPOSED
    assert run.facts.error.startswith("git clone: ")
    (made.folder / "away").rename(made.repository)
    finish(made, turns)
    check_promoted_once(made)


def test_a_training_that_always_fails_ends(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment")
    (made.folder / "made/bundle.json").unlink()
    finish(made, turns)
    assert made.run().state is State.FAILED
    assert made.steps()[-1].note.startswith("training was attempted 3 times: ")
    assert "is not a model bundle" in made.steps()[-1].note


def test_it_ends_too_when_a_run_before_it_has_learned_from_the_same_texts(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment")
    (made.folder / "made/bundle.json").unlink()
    finish(made, turns)
    request(made, "manual/lab/2")
    finish(made, turns)
    assert [step.state for step in made.steps()] == [*WHOLE[:3], State.FAILED]


@pytest.mark.parametrize("code", [1, 3])
def test_a_command_that_judges_and_fails_ends_the_run(tmp_path: Path, turns: Turns, code: int) -> None:
    made = deployment(tmp_path / "deployment")
    plan = made.folder / "learning.toml"
    judge = f'"cp {made.folder}/frozen.json {{report}}"'
    plan.write_text(
        plan.read_text(encoding="utf-8").replace(judge, f'"echo the sets are worse; exit {code}"'), encoding="utf-8"
    )
    finish(made, turns)
    assert made.run().state is {1: State.FAILED, 3: State.REJECTED}[code]
    assert made.steps()[-1].note.endswith("the sets are worse")
    assert made.commits() == ["Deploy the first model"]


def test_what_a_command_says_last_is_told_briefly_and_can_be_stored(learning: Deployment, turns: Turns) -> None:
    (learning.folder / "train.sh").write_text(
        "printf 'a bar: ' && head -c 300000 /dev/zero | tr '\\0' '#' && printf '\\rtoo few\\0 texts\\n'; exit 3\n",
        encoding="utf-8",
    )
    assert turns.take(learning.settings).code == 0
    assert learning.run().state is State.REJECTED
    note = learning.steps()[-1].note
    assert note.endswith("too few texts")
    assert len(note) < 1000


def test_texts_whose_time_is_over_are_not_learned_from(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment", text_days=1.0)
    assert turns.take(made.settings).code == 0
    assert made.run().state is State.REJECTED
    assert made.steps()[-1].note.startswith("opinions give 0 texts to learn from")


def test_a_frozen_set_that_is_too_small_to_show_a_loss_is_said(tmp_path: Path, turns: Turns) -> None:
    made = deployment(tmp_path / "deployment")
    file = made.folder / "frozen.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"of": 1000', '"of": 1'), encoding="utf-8")
    assert turns.take(made.settings).code == 0
    run = made.run()
    assert run.state is State.REJECTED
    assert run.facts.lacking[0] == "frozen has 1 texts; 149 are required to show a loss of more than 0.0200"
