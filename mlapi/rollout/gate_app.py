"""The gate as a webhook: what rolls out asks it by POST, and goes on if the answer is 200."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mlapi.observability.metrics import RolloutMetrics
from mlapi.rollout.gate import Compared, Plan, Verdict, Warmed, collect, compare_versions, report, same_model, warm
from mlapi.rollout.version import VersionError

_log = logging.getLogger(__name__)

_REFUSED: Final = 409
"""Flagger takes every status above 202 for a no, and shows the body; of a 5xx, which it retries, it shows none."""

_MAX_PAYLOAD: Final = 65_536


class Outcome(msgspec.Struct, frozen=True):
    """What a webhook is answered."""

    verdict: Verdict
    reason: str
    warmed: dict[str, Any] | None = None
    compared: dict[str, Any] | None = None


def note(metrics: RolloutMetrics, result: Warmed | Compared) -> None:
    """Show what was measured; what was not is not shown, and not as it was before."""
    if isinstance(result, Warmed):
        for name in ("answered", "known", "refused", "failed", "left"):
            metrics.warmed.labels(name).set(getattr(result, name))
        return
    _forget(metrics)
    found = result.comparison
    if found is None:
        return
    metrics.compared.set(found.texts)
    metrics.flip_rate.labels("texts").set(found.flip_rate)
    metrics.flip_rate.labels("requests").set(found.flip_rate_by_traffic)
    for label, each in found.labels.items():
        metrics.label_flip_rate.labels(label).set(each.flip_rate)
    for name in ("mean", "p99", "max"):
        metrics.score_shift.labels(name).set(getattr(found, f"score_shift_{name}"))


def _forget(metrics: RolloutMetrics) -> None:
    for gauge in (metrics.flip_rate, metrics.label_flip_rate, metrics.score_shift):
        gauge.clear()
    metrics.compared.set(0)


def judge(make_plan: Callable[[], Plan], expected: str, metrics: RolloutMetrics, *, warming: bool) -> Outcome:
    """Warm if asked to, and compare; whatever goes wrong is no pass."""
    warmed = None
    try:
        plan = make_plan()
        plan = replace(plan, expected=expected or plan.expected)
        same = same_model(plan)
        if same is not None:
            return _counted(metrics, Outcome(same.verdict, same.reason, compared=report(same)))
        weights = collect(plan)
        if warming:
            result = warm(plan, list(weights))
            note(metrics, result)
            warmed = report(result)
            if result.verdict == "failed":
                return _counted(metrics, Outcome("failed", result.reason, warmed))
        compared = compare_versions(plan, weights)
    except VersionError as error:
        return _counted(metrics, Outcome("unmeasured", str(error), warmed))
    note(metrics, compared)
    return _counted(metrics, Outcome(compared.verdict, compared.reason, warmed, report(compared)))


def _counted(metrics: RolloutMetrics, outcome: Outcome) -> Outcome:
    if not (outcome.compared or {}).get("comparison"):
        _forget(metrics)
    metrics.verdicts.labels(outcome.verdict).inc()
    _log.info("judged a rollout", extra={"verdict": outcome.verdict, "reason": outcome.reason})
    return outcome


class _Shared:
    """One judgement at a time; who asks for the same one meanwhile gets the same answer."""

    def __init__(self, run: Callable[[str, bool], Outcome]) -> None:
        self._run = run
        self._running: dict[tuple[str, bool], asyncio.Task[Outcome]] = {}
        self._turn = asyncio.Lock()

    async def judge(self, expected: str, *, warming: bool) -> Outcome:
        """Return the judgement of what has the expected digest; a caller that goes away does not end it."""
        asked = expected, warming
        task = self._running.get(asked)
        if task is None:
            task = self._running[asked] = asyncio.create_task(self._take_turn(*asked))
            task.add_done_callback(lambda _: self._running.pop(asked))
        return await asyncio.shield(task)

    async def _take_turn(self, expected: str, warming: bool) -> Outcome:  # noqa: FBT001  half of a key
        async with self._turn:
            return await asyncio.to_thread(self._run, expected, warming)


def create_gate_app(make_plan: Callable[[], Plan], metrics: RolloutMetrics) -> Starlette:
    """Return the application: `POST /pre-rollout` warms and compares, `POST /compare` compares.

    `make_plan` is asked for each judgement: a key that was rotated is read anew; what it raises is a VersionError. The
    versions are those of the plan, whatever a caller writes: the body may hold the model digest that the new
    version is expected to have, as `metadata.digest`, and nothing else that is heeded.
    """
    shared = _Shared(lambda expected, warming: judge(make_plan, expected, metrics, warming=warming))

    def answerer(*, warming: bool) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            body = await _read(request)
            expected = None if body is None else _digest_in(body)
            if expected is None:
                return PlainTextResponse("the body is not the payload of a webhook\n", 400)
            outcome = await shared.judge(expected, warming=warming)
            status = 200 if outcome.verdict == "passed" else _REFUSED
            return Response(msgspec.json.encode(outcome), status, media_type="application/json")

        return answer

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def shown(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/pre-rollout", answerer(warming=True), methods=["POST"]),
            Route("/compare", answerer(warming=False), methods=["POST"]),
            Route("/livez", health),
            Route("/readyz", health),
            Route("/metrics", shown),
        ]
    )


async def _read(request: Request) -> bytes | None:
    """Return the body; None once it is longer than a payload is."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_PAYLOAD:
            return None
    return bytes(body)


def _digest_in(body: bytes) -> str | None:
    """Return the digest that a payload expects, empty if it expects none; None if it is no payload."""
    if not body.strip():
        return ""
    try:
        payload = msgspec.json.decode(body)
        metadata = payload.get("metadata") or {}
        digest = metadata.get("digest", "")
    except (msgspec.DecodeError, AttributeError):
        return None
    return digest if isinstance(digest, str) else None
