"""The Python client in trouble: what it repeats, how long it waits, and when it gives up."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import httpx2
import msgspec
import pytest
from mlapi_client import (
    ApiError,
    AsyncClassifier,
    Classifier,
    ConnectionFailedError,
    MlapiError,
    Prediction,
    RateLimitedError,
    Retrying,
    TimedOutError,
    UnavailableError,
    UnexpectedAnswerError,
)
from mlapi_client.answers import Reply, read_refusal

from mlapi.dialects.problems import problem, refusal_headers
from mlapi.errors import DrainingError, InternalError, NotCachedError, OverloadedError, QuotaExceededError
from mlapi.errors import MlapiError as ServiceError

Step = Callable[[httpx2.Request], httpx2.Response]

GOOD: Final = {"predictions": [[{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}]]}


def good(_: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json=GOOD, headers={"model-digest": "0f34"})


def refusal(error: ServiceError) -> Step:
    """Answer with what the service says of an error."""
    written = problem(error, "some-id")
    headers = [(name.decode(), value.decode()) for name, value in refusal_headers(error, written, "some-id")]
    return lambda _: httpx2.Response(written.status, content=written.body, headers=headers)


def failure(kind: type[httpx2.TransportError]) -> Step:
    def fail(request: httpx2.Request) -> httpx2.Response:
        msg = "simulated"
        raise kind(msg, request=request)

    return fail


def status(number: int, **headers: str) -> Step:
    return lambda _: httpx2.Response(number, text="<html>a gateway's words</html>", headers=headers)


class Script:
    """Answers one request after the other by a list, on a clock that only pauses move."""

    def __init__(self, *steps: Step, last: Step = good) -> None:
        self.steps = list(steps)
        self.last = last
        self.asked = 0
        self.now_s = 100.0
        self.pauses: list[float] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        return (self.steps.pop(0) if self.steps else self.last)(request)

    def pause(self, _: threading.Event, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    async def pause_async(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def run(self, *, kind: str, retrying: Retrying | None = None, calls: int = 1) -> Prediction:
        """Classify a text, so many times, with the client of this kind; returns the last answer."""
        common: dict[str, Any] = {"retrying": retrying, "clock": lambda: self.now_s, "jitter": lambda: 0.5}
        if kind == "sync":
            transport = httpx2.MockTransport(self.handle)
            with Classifier("http://host/project", transport=transport, pause=self.pause, **common) as client:
                return [client.classify("good") for _ in range(calls)][-1]

        async def run() -> Prediction:
            transport = httpx2.MockTransport(self.handle)
            async with AsyncClassifier(
                "http://host/project", transport=transport, pause=self.pause_async, **common
            ) as client:
                return [await client.classify("good") for _ in range(calls)][-1]

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize(
    "step",
    [
        refusal(OverloadedError("too much", retry_after_s=2)),
        refusal(DrainingError("stopping", retry_after_s=1)),
        status(502),
        status(503),
        status(504),
        status(429),
        failure(httpx2.ConnectError),
        failure(httpx2.ReadError),
        failure(httpx2.RemoteProtocolError),
        failure(httpx2.ReadTimeout),
    ],
)
def test_what_may_pass_is_tried_again(kind: str, step: Step) -> None:
    script = Script(step, step)
    assert script.run(kind=kind).label == "POSITIVE"
    assert script.asked == 3


@pytest.mark.parametrize(
    "step",
    [
        refusal(NotCachedError("not there")),
        refusal(InternalError("broken")),
        status(400),
        status(401),
        status(404),
        status(422),
        status(500),
        status(301, location="http://elsewhere/project"),
    ],
)
def test_what_stays_wrong_is_not(kind: str, step: Step) -> None:
    script = Script(last=step)
    with pytest.raises(ApiError):
        script.run(kind=kind)
    assert (script.asked, script.pauses) == (1, [])


def test_the_pause_is_what_the_service_asks_for_and_a_little_more(kind: str) -> None:
    script = Script(refusal(OverloadedError("too much", retry_after_s=3)))
    script.run(kind=kind)
    assert script.pauses == [3.05]


def test_without_a_word_of_the_service_pauses_double_up_to_a_bound(kind: str) -> None:
    script = Script(*[failure(httpx2.ConnectError)] * 8)
    script.run(kind=kind, retrying=Retrying(deadline_s=100, first_pause_s=0.2, longest_pause_s=2))
    assert script.pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]


def test_a_pause_that_ends_after_the_deadline_is_not_begun(kind: str) -> None:
    script = Script(last=refusal(QuotaExceededError("used up", retry_after_s=40_000, policies=["daily"])))
    with pytest.raises(RateLimitedError) as refused:
        script.run(kind=kind)
    assert (script.asked, script.pauses) == (1, [])
    assert (refused.value.retry_after_s, refused.value.problem.violated_policies) == (40_000, ("daily",))
    assert "deadline" in refused.value.__notes__[0]


def test_the_deadline_ends_all_attempts(kind: str) -> None:
    script = Script(last=refusal(OverloadedError("too much", retry_after_s=4)))
    with pytest.raises(UnavailableError):
        script.run(kind=kind, retrying=Retrying(deadline_s=10))
    assert script.asked == 3


def test_a_client_repeats_no_more_than_its_share(kind: str) -> None:
    script = Script(last=status(503))
    with pytest.raises(UnavailableError) as refused:
        script.run(kind=kind, retrying=Retrying(deadline_s=1000, reserve=4))
    assert script.asked == 5
    assert "too many requests were repeated" in refused.value.__notes__[0]
    # Twenty good requests earn two repetitions.
    script = Script(*[good] * 20, last=status(503))
    with pytest.raises(UnavailableError):
        script.run(kind=kind, retrying=Retrying(deadline_s=1000, reserve=2, budget=0.1), calls=21)
    assert script.asked == 20 + 3
    with pytest.raises(UnavailableError):
        script.run(kind=kind, retrying=Retrying(reserve=0, budget=0))
    assert script.pauses[2:] == []


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>log in</html>"},
        {"json": {"predictions": []}},
        {"json": {"predictions": [[]]}},
        {"json": {"predictions": [[{"label": "x"}]]}},
        {"json": GOOD | {"details": []}},
        {"json": {"predictions": GOOD["predictions"] * 2}},
        {"content": b"[" * 100_000},
        {},
    ],
)
def test_an_answer_of_something_else_is_no_prediction(kind: str, answer: dict[str, Any]) -> None:
    script = Script(last=lambda _: httpx2.Response(200, **answer))
    with pytest.raises(UnexpectedAnswerError):
        script.run(kind=kind)
    assert script.asked == 1


def test_an_answer_in_drops_ends_with_the_deadline() -> None:
    script = Script()

    class Drops(httpx2.SyncByteStream):
        def __iter__(self) -> Any:  # noqa: ANN401
            for _ in range(1000):
                script.now_s += 1
                yield b" "

    script.last = lambda _: httpx2.Response(200, stream=Drops())
    with pytest.raises(TimedOutError, match="not complete in 5 s"):
        script.run(kind="sync", retrying=Retrying(deadline_s=5))


async def test_an_attempt_that_hangs_is_ended() -> None:
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        return httpx2.Response(200)

    async with AsyncClassifier(
        "http://host/project", transport=httpx2.MockTransport(hang), retrying=Retrying(timeout_s=0.02, deadline_s=0.05)
    ) as client:
        with pytest.raises(TimedOutError):
            await client.classify("good")


def test_who_stops_early_waits_for_no_pause() -> None:
    """The second chunk meets an overload that would be waited for, were anybody interested."""
    paused = threading.Event()

    def answer(request: httpx2.Request) -> httpx2.Response:
        texts = msgspec.json.decode(request.content)["text"]
        return good(request) if texts == ["first"] else refusal(OverloadedError("busy", retry_after_s=20))(request)

    def pause(stopping: threading.Event, _: float) -> None:
        paused.set()
        stopping.wait()

    with Classifier("http://host/project", transport=httpx2.MockTransport(answer), pause=pause) as client:
        many = client.classify_many(["first", "second"], chunk=1, concurrency=2)
        assert next(many).label == "POSITIVE"
        assert paused.wait(10)
        many.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (format_datetime(datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
        ("Thu, 01 Jan 2026 00:00:30", 30.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    reply = Reply(503, {"retry-after": value}, b"")
    assert read_refusal(reply, lambda: datetime(2026, 1, 1, tzinfo=UTC)).retry_after_s == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 7}', b'{"errors": 1}', b"\xff", b"[" * 100_000])
def test_a_refusal_without_a_problem_is_told_by_its_status(body: bytes) -> None:
    error = read_refusal(Reply(503, {"x-request-id": "given"}, body))
    assert isinstance(error, UnavailableError)
    assert (error.status, error.code, error.request_id, error.retryable) == (503, "", "given", True)


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0}, {"deadline_s": -1}, {"budget": -0.1}, {"deadline_s": float("nan")}, {"reserve": -1}]
)
def test_patience_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Retrying(**wrong)


def test_every_error_is_one_of_the_tree() -> None:
    for error in (ConnectionFailedError, TimedOutError, UnexpectedAnswerError, ApiError):
        assert issubclass(error, MlapiError)
