"""A proposed model that is never served, and one that is pushed late: a real repository, a clock set by hand."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from mlapi.bundles.store import read_manifest
from mlapi.feedback.registry import Registered, Registry
from mlapi.feedback.runs import Facts, Move, Runs, State, Trigger, run_id
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.loop import overlay
from mlapi.loop.notices import Notices
from mlapi.loop.plan import read_plan
from mlapi.loop.steps import Steps
from mlapi.loop.tick import Loop
from mlapi.loop.workshop import Workshop
from mlapi.settings import LAB_BUNDLE
from tests.feedback_votes import store_over
from tests.learning import Deployment, git

FIRST: Final = read_manifest(LAB_BUNDLE).digest
CANDIDATE: Final = "c" * 64
WAIT_MS: Final = 600_000
DAY_MS: Final = 86_400_000
START: Final = 1_800_000_000_000


class Service:
    """What stands where the model is served, and answers with what it is told to."""

    def __init__(self) -> None:
        self.answer = b""
        self.key = ""
        self.asked = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked += 1
                asks = service.key and self.headers["authorization"] != f"Bearer {service.key}"
                self.wfile.write(body("{}", "401 Unauthorized") if asks else service.answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/lab/model"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def body(content: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\ncontent-type: application/json\r\n\r\n{content}".encode()


SILENT: Final = {
    "it answers with the old model": body(f'{{"bundle_digest": "{FIRST}"}}'),
    "it does not say": body("{}"),
    "it fails": body("{}", "503 Service Unavailable"),
    "it answers with something else than JSON": body("<html>"),
    "it answers with something else than HTTP": b"hello\r\n\r\n",
    "it says nothing": b"",
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


class Proposing:
    """A deployment whose run has passed the gate, and turns of the loop at times that are given."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.now = START
        self.well = True
        self.database = SqliteDatabase(folder / "feedback.db", "f" * 16)
        self.made = Deployment(folder, lambda: self.database, {})
        self.made.make_repository(FIRST)
        self.made.write_plan(f'canary = {{url = "{service.url}", wait_s = {WAIT_MS // 1000}}}')
        self.runs, self.registry = Runs(self.database), Registry(self.database)
        self.registry.register(Registered(FIRST, "lab"), START)
        self.registry.promote(FIRST, "", "was served", START)
        self.registry.register(Registered(CANDIDATE, "lab", parent=FIRST), START)
        self.runs.request([Trigger("manual/lab/1", "lab", "to try it")], START)
        run = self.runs.claim("lab", START, 1000)
        assert run is not None
        facts = Facts(candidate=CANDIDATE, champion=FIRST, report="e" * 64)
        self.runs.release(self.runs.advance(run, Move(State.PROPOSED, facts, "passes"), START), waiting=True)

    def turn(self) -> State:
        """Take a turn; return the state of the run."""
        plan = read_plan(self.made.folder / "learning.toml")
        steps = Steps(
            plan, self.database, store_over(self.database), self.runs, Workshop(Path(plan.folder)),
            lambda: self.now, lambda: self.now / 1000,
        )  # fmt: skip
        loop = Loop(steps, Notices(plan, self.database, self.runs, lambda: self.now))
        self.well = loop.turn(["lab"])
        run = self.runs.find(run_id("manual/lab/1"))[0]
        return run.state


@pytest.fixture
def proposing(tmp_path: Path, service: Service) -> Iterator[Proposing]:
    made = Proposing(tmp_path / "site", service)
    yield made
    made.database.close()


@pytest.mark.parametrize("answer", SILENT)
def test_a_model_that_is_never_served_is_rolled_back_and_banned(
    proposing: Proposing, service: Service, answer: str
) -> None:
    service.answer = SILENT[answer]
    assert proposing.turn() is State.CANARY
    assert CANDIDATE in proposing.made.deployed()
    asked = service.asked
    proposing.now += WAIT_MS - 1
    assert proposing.turn() is State.CANARY
    assert service.asked == asked + 1
    proposing.now += 1
    assert proposing.turn() is State.ROLLED_BACK
    run = proposing.runs.latest("lab", 1)[0]
    why = f"{service.url} did not answer with it within 600 s"
    assert proposing.runs.steps(run.id)[-1].note == why
    assert proposing.registry.banned(CANDIDATE) == f"rejected: {why}"
    assert proposing.registry.champion("lab") == FIRST
    assert FIRST in proposing.made.deployed()
    assert proposing.made.commits()[0] == f"Roll lab back to {FIRST[:12]}"
    proposing.now += WAIT_MS
    assert proposing.turn() is State.ROLLED_BACK
    assert len(proposing.made.commits()) == 3


def test_a_model_that_is_served_at_the_last_moment_is_promoted(proposing: Proposing, service: Service) -> None:
    service.answer = SILENT["it answers with the old model"]
    assert proposing.turn() is State.CANARY
    proposing.now += WAIT_MS + 1
    service.answer = body(f'{{"bundle_digest": "{CANDIDATE}"}}')
    assert proposing.turn() is State.PROMOTED
    assert proposing.registry.champion("lab") == CANDIDATE


def push_late(proposing: Proposing) -> None:
    """Do what a worker does that was paused between renewing its lease and cloning, until all was over."""
    plan = read_plan(proposing.made.folder / "learning.toml").models["lab"].overlay
    assert plan is not None
    overlay.move(plan, FIRST, CANDIDATE, "Deploy lab late")
    assert CANDIDATE in proposing.made.deployed()


def test_a_banned_model_that_is_pushed_late_is_taken_out_again(proposing: Proposing, service: Service) -> None:
    service.answer = SILENT["it answers with the old model"]
    proposing.turn()
    proposing.now += WAIT_MS
    assert proposing.turn() is State.ROLLED_BACK
    proposing.now += WAIT_MS
    push_late(proposing)
    assert proposing.turn() is State.ROLLED_BACK
    assert FIRST in proposing.made.deployed()
    assert CANDIDATE not in proposing.made.deployed()
    found = [f"Roll lab back to {FIRST[:12]}", "Deploy lab late"]
    assert proposing.made.commits()[:2] == found
    # Again: there is nothing to do.
    proposing.turn()
    assert proposing.made.commits()[:2] == found


def test_one_that_a_person_rejected_before_it_was_pushed_is_taken_out_too(proposing: Proposing) -> None:
    proposing.registry.reject(CANDIDATE, "one label in ten flips", START)
    assert proposing.turn() is State.REJECTED
    assert proposing.made.commits() == ["Deploy the first model"]
    push_late(proposing)
    proposing.turn()
    assert FIRST in proposing.made.deployed()


def test_what_was_put_there_by_hand_meanwhile_or_long_after_is_let_be(proposing: Proposing) -> None:
    """The one is not this model, and a day is longer than any pause that a worker survives."""
    proposing.registry.reject(CANDIDATE, "one label in ten flips", START)
    proposing.turn()
    clone, digest = proposing.made.folder / "clone", "d" * 64
    (clone / "overlays/prod/model.yaml").write_text(f"digest: {digest}\n", encoding="utf-8")
    git(clone, "commit", "--quiet", "-am", "Deploy something else by hand")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    proposing.turn()
    assert digest in proposing.made.deployed()
    proposing.made.repository.rename(proposing.made.folder / "away")
    proposing.now += DAY_MS
    # It is not even looked at any more.
    assert proposing.turn() is State.REJECTED


def test_a_model_that_was_promoted_long_ago_is_taken_back(proposing: Proposing, service: Service) -> None:
    service.answer = body(f'{{"bundle_digest": "{CANDIDATE}"}}')
    assert proposing.turn() is State.PROMOTED
    for number in range(101):
        proposing.runs.request([Trigger(f"schedule/lab/1/{number}", "lab", "the schedule")], START + 1 + number)
        run = proposing.runs.claim("lab", START, 1000)
        assert run is not None
        proposing.runs.advance(run, Move(State.REJECTED, Facts(), "too few texts"), START)
    proposing.registry.roll_back(CANDIDATE, "one label in ten flips", START)
    assert proposing.turn() is State.ROLLED_BACK
    assert FIRST in proposing.made.deployed()


def test_a_model_is_taken_back_however_long_the_repository_is_away(proposing: Proposing, service: Service) -> None:
    service.answer = SILENT["it answers with the old model"]
    assert proposing.turn() is State.CANARY
    proposing.now += WAIT_MS
    away = proposing.made.folder / "away"
    proposing.made.repository.rename(away)
    for _ in range(5):
        assert proposing.turn() is State.CANARY
        assert not proposing.well
    away.rename(proposing.made.repository)
    assert proposing.turn() is State.ROLLED_BACK
    assert FIRST in proposing.made.deployed()
    assert proposing.registry.banned(CANDIDATE)


def test_what_a_failed_run_pushed_late_is_taken_out_once_it_is_banned(proposing: Proposing) -> None:
    run = proposing.runs.claim("lab", START, 1000)
    assert run is not None
    proposing.runs.advance(run, Move(State.FAILED, run.facts, "it was interrupted each time"), START)
    push_late(proposing)
    proposing.registry.reject(CANDIDATE, "its run failed", START)
    assert proposing.turn() is State.FAILED
    assert FIRST in proposing.made.deployed()


def test_a_service_that_asks_for_a_key_is_shown_it(proposing: Proposing, service: Service) -> None:
    service.answer, service.key = body(f'{{"bundle_digest": "{CANDIDATE}"}}'), "mlapi_one"
    try:
        assert proposing.turn() is State.CANARY
        file = proposing.made.folder / "key"
        proposing.made.write_plan(
            f'canary = {{url = "{service.url}", wait_s = {WAIT_MS // 1000}, key_file = "{file}"}}'
        )
        assert proposing.turn() is State.CANARY
        assert not proposing.well
        assert "canary.key_file" in proposing.runs.latest("lab", 1)[0].facts.error
        file.write_text("mlapi_one\n", encoding="ascii")
        proposing.now += WAIT_MS
        assert proposing.turn() is State.PROMOTED
    finally:
        service.key = ""


def test_it_is_said_where_a_key_is_lacking(proposing: Proposing, service: Service) -> None:
    service.key = "mlapi_one"
    try:
        assert proposing.turn() is State.CANARY
        proposing.now += WAIT_MS
        assert proposing.turn() is State.ROLLED_BACK
        run = proposing.runs.latest("lab", 1)[0]
        assert proposing.runs.steps(run.id)[-1].note.endswith("it asks for an API key, of the file canary.key_file")
    finally:
        service.key = ""
