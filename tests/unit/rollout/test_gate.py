"""The gate of a rollout: what is no answer is no pass, and one judgement is made at a time."""

import asyncio
import threading
from collections.abc import Sequence

import httpx
import pytest
from prometheus_client import generate_latest

from mlapi.observability.metrics import RolloutMetrics
from mlapi.rollout import gate
from mlapi.rollout.gate import Compared, Plan, collect, compare_versions, warm
from mlapi.rollout.gate_app import create_gate_app, judge, note
from mlapi.rollout.pace import Pace
from mlapi.rollout.version import Answered, HotSample, Identity, Place, RefusedError, VersionError

TEXTS = {f"text {number}": 1 for number in range(200)}
PACE = Pace(1e6, 60.0, lambda: 0.0, lambda _: None, lambda _: None)
PLAN = Plan(Place.read("http://127.0.0.1:1/old"), Place.read("http://127.0.0.1:1/new"), PACE)
OF_TEXTS = 'mlapi_rollout_flip_rate{of="texts"}'


class Scripted:
    """Two versions of different models that agree; the new one refuses everything where a status is given."""

    status: int | None = None
    same = False

    def __init__(self, place: Place, *_: object, **__: object) -> None:
        self._new = place.root == "/new"

    def identity(self) -> Identity:
        return Identity("model", "digest of the new" if self._new and not self.same else "digest", ("GOOD", "BAD"))

    def hot_texts(self, limit: int) -> HotSample:
        return HotSample("process", dict(list(TEXTS.items())[:limit]))

    def predict(self, texts: Sequence[str]) -> Answered:
        if self._new and self.status is not None:
            msg = f"answered {self.status}"
            raise RefusedError(msg, self.status, None)
        return Answered([{"GOOD": 1.0}] * len(texts), {"model": len(texts)})

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    class Own(Scripted):
        """Of one test."""

    monkeypatch.setattr(gate, "Version", Own)
    monkeypatch.setattr(gate, "hot_texts", lambda *_: dict(TEXTS))
    return Own


@pytest.mark.parametrize("status", [500, 502, 422])
def test_a_version_that_answers_no_text_is_not_warm(scripted: type[Scripted], status: int) -> None:
    scripted.status = status
    warmed = warm(PLAN, list(TEXTS))
    assert (warmed.verdict, warmed.answered) == ("failed", 0)
    assert (warmed.refused, warmed.failed) == ((200, 0) if status == 422 else (0, 200))
    compared = compare_versions(PLAN, collect(PLAN))
    assert compared.verdict == "failed"
    assert "label-flip rate 1.0000" in compared.reason


def test_what_was_not_compared_last_is_not_shown(scripted: type[Scripted]) -> None:
    metrics = RolloutMetrics()

    def shown() -> bool:
        return OF_TEXTS in generate_latest(metrics.registry).decode()

    def gone() -> Plan:
        msg = "it cannot be asked"
        raise VersionError(msg)

    assert judge(lambda: PLAN, "", metrics, warming=True).verdict == "passed"
    assert shown()
    assert judge(gone, "", metrics, warming=True).verdict == "unmeasured"
    assert not shown()
    judge(lambda: PLAN, "", metrics, warming=False)
    assert shown()
    scripted.same = True
    assert judge(lambda: PLAN, "", metrics, warming=False).verdict == "passed"
    assert not shown()
    note(metrics, Compared("unmeasured", "too few", Identity("", "", ()), Identity("", "", ())))
    assert not shown()


async def test_judgements_of_different_digests_wait_for_each_other() -> None:
    met = threading.Barrier(2, timeout=0.5)
    together = []

    def make_plan() -> Plan:
        try:
            met.wait()
        except threading.BrokenBarrierError:
            return PLAN
        together.append(True)
        return PLAN

    app = create_gate_app(make_plan, RolloutMetrics())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as client:
        answers = await asyncio.gather(
            *(client.post("/compare", json={"metadata": {"digest": digest}}) for digest in ("digest", "another"))
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert together == []


async def test_a_body_that_is_too_long_is_not_read_to_its_end() -> None:
    taken = []
    said = []

    async def receive() -> dict[str, object]:
        taken.append(1)
        return {"type": "http.request", "body": b" " * 40_000, "more_body": len(taken) < 100}

    async def send(message: dict[str, object]) -> None:
        said.append(message.get("status"))

    app = create_gate_app(lambda: PLAN, RolloutMetrics())
    scope = {"type": "http", "method": "POST", "path": "/compare", "headers": [], "query_string": b""}
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert (said[0], len(taken)) == (400, 2)
