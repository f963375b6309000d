"""Notices are sent to real receivers at least once, and a receiver that fails delays nothing."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from mlapi.feedback.runs import Facts, Move, Run, Runs, State, Trigger
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.loop.notices import Notices
from mlapi.loop.plan import ModelPlan, Notify, Plan

DAY_MS: Final = 86_400_000
START: Final = 1_800_000_000_000
GARBAGE: Final = 0
"""Instead of a status: what is no HTTP."""


class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        self.status = 202
        self.taken: list[tuple[dict[str, str], Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if receiver.status == GARBAGE:
                    self.wfile.write(b"this is no HTTP\r\n\r\n")
                    return
                self.send_response(receiver.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Deployment:
    """Runs, receivers, and a clock that is set by hand."""

    def __init__(self, folder: Path, *receivers: Notify) -> None:
        self.now = START
        self.database = SqliteDatabase(folder / "feedback.db", "f" * 16)
        self.runs = Runs(self.database, notify=[(one.name, frozenset(one.states)) for one in receivers])
        model = ModelPlan(champion="c", train=(("true",),), judge=("true",), bundle="b")
        self.plan = Plan(folder=str(folder), models={"lab": model}, notify=receivers)

    def reject(self, key: str = "manual/lab/1") -> Run:
        """Make a run that has ended; two receivers' states are `rejected`."""
        self.runs.request([Trigger(key, "lab", "to try it")], self.now)
        run = self.runs.claim("lab", self.now, 1000)
        assert run is not None
        facts = Facts(candidate="c" * 64, champion="b" * 64, dataset="d" * 64)
        return self.runs.advance(run, Move(State.REJECTED, facts, "not better"), self.now)

    def deliver(self) -> int:
        return Notices(self.plan, self.database, self.runs, lambda: self.now).deliver()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def notify(name: str, url: str, form: Literal["cloudevents", "slack"] = "cloudevents") -> Notify:
    return Notify(name, url=url, format=form, states=(State.REJECTED,))


def free_url() -> str:
    """Return the URL of a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_a_cloud_event_says_what_became_of_the_run(tmp_path: Path, receiver: Receiver) -> None:
    made = Deployment(tmp_path, notify("ops", receiver.url))
    run = made.reject()
    assert made.deliver() == 1
    ((headers, body),) = receiver.taken
    told = {name: value for name, value in headers.items() if name.startswith("ce-")}
    assert told == {
        "ce-specversion": "1.0",
        "ce-id": f"{run.id}/1/ops",
        "ce-source": "/mlapi/learn/lab",
        "ce-type": "io.mlapi.learning.rejected",
        "ce-subject": run.id,
        "ce-time": "2027-01-15T08:00:00.000+00:00",
    }
    assert headers["content-type"] == "application/json"
    assert body == {
        "run": run.id, "model": "lab", "state": "rejected", "note": "not better", "reason": "to try it",
        "dataset": "d" * 64, "candidate": "c" * 64, "champion": "b" * 64, "report": "", "commit": "",
    }  # fmt: skip
    assert made.deliver() == 0
    assert len(receiver.taken) == 1


def test_slack_gets_a_sentence_that_ends_with_the_id(tmp_path: Path, receiver: Receiver) -> None:
    made = Deployment(tmp_path, notify("chat", receiver.url, "slack"))
    run = made.reject()
    assert made.deliver() == 1
    ((_, body),) = receiver.taken
    assert list(body) == ["text"]
    assert body["text"].startswith(f"*lab: rejected* not better\nrun {run.id}, candidate {'c' * 64}")
    assert body["text"].endswith(f"notice {run.id}/1/chat")


@pytest.mark.parametrize("status", [GARBAGE, 302, 404, 500, 503])
def test_what_was_not_taken_is_sent_again_with_the_same_id(tmp_path: Path, receiver: Receiver, status: int) -> None:
    """A redirect is not followed: the second request would be a GET without the notice, and its 200 no receipt."""
    made = Deployment(tmp_path, notify("ops", receiver.url))
    made.reject()
    receiver.status = status
    assert made.deliver() == 0
    assert made.deliver() == 0
    assert len(receiver.taken) == 1, "asked again before its time"
    made.now += 30_000
    assert made.deliver() == 0
    made.now += 59_999
    assert made.deliver() == 0
    assert len(receiver.taken) == 2, "the pause did not grow"
    receiver.status = 202
    made.now += 1
    assert made.deliver() == 1
    assert len({headers["ce-id"] for headers, _ in receiver.taken}) == 1
    assert [body for _, body in receiver.taken] == [receiver.taken[0][1]] * 3
    made.now += DAY_MS
    assert made.deliver() == 0


def test_a_receiver_that_is_away_delays_nobody_else(tmp_path: Path, receiver: Receiver) -> None:
    """More notices than are sent together wait for the one that is away, and come before those of the other."""
    made = Deployment(tmp_path, notify("away", free_url()), notify("ops", receiver.url))
    for number in range(25):
        made.reject(f"manual/lab/{number}")
    assert made.deliver() == 20
    assert made.deliver() == 5
    assert len({headers["ce-id"] for headers, _ in receiver.taken}) == 25


def test_a_url_from_a_file_is_a_url_and_is_not_logged(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "url"
    made = Deployment(tmp_path, Notify("chat", url_file=str(file), states=(State.REJECTED,)))
    made.reject()
    for content in (None, "", "file:///etc/hostname", "http://[secret", "ftp://secret/"):
        if content is not None:
            file.write_text(content, encoding="utf-8")
        assert made.deliver() == 0
        made.now += 3_600_000
    file.write_text(f"{receiver.url}\n", encoding="utf-8")
    assert made.deliver() == 1
    assert "secret" not in caplog.text


def test_after_seven_days_or_without_its_receiver_a_notice_is_given_up(tmp_path: Path, other: Receiver) -> None:
    made = Deployment(tmp_path, notify("ops", other.url), notify("former", other.url))
    made.reject()
    made.plan = Plan(folder=made.plan.folder, models=made.plan.models, notify=made.plan.notify[:1])
    made.now += 7 * DAY_MS + 1
    assert made.deliver() == 0
    with made.database.reading() as session:
        assert sorted(session.rows("SELECT target, done_ms FROM notices")) == [("former", -1), ("ops", -1)]
    assert other.taken == []
