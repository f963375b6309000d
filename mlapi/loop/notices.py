"""Tells others what became of runs: at least once, each with an id by which a repetition is known.

What is to be told is written together with the change of state that it is about, and sent afterwards. A receiver that
is away delays nothing: what could not be sent is tried again by later ticks, ever more rarely.
"""

import logging
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final

import msgspec

from mlapi.feedback.database import Database
from mlapi.feedback.runs import Run, Runs, Step
from mlapi.loop.plan import Notify, Plan

_log = logging.getLogger(__name__)

_TIME_S: Final = 5.0
_TOGETHER: Final = 20
_FIRST_MS: Final = 30_000
_LONGEST_MS: Final = 3_600_000
_GIVE_UP_MS: Final = 7 * 86_400_000
_SENT_NEVER: Final = -1


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a refusal: followed, it would be a GET without the notice, and its 200 no receipt."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


class Notices:
    """Sends what has not been sent."""

    def __init__(self, plan: Plan, database: Database, runs: Runs, now: Callable[[], int]) -> None:
        """Take the plan, which names the receivers; `now` tells milliseconds since 1970."""
        self._receivers = {one.name: one for one in plan.notify}
        self._database = database
        self._runs = runs
        self._now = now

    def deliver(self) -> int:
        """Send what is due, and return how many were taken; a receiver that is away delays nobody else's."""
        now = self._now()
        with self._database.reading() as session:
            due = session.rows("SELECT DISTINCT target FROM notices WHERE done_ms = 0 AND next_ms <= ?", now)
            targets = sorted(target for (target,) in due)
        return sum(self._deliver_to(target, now) for target in targets)

    def _deliver_to(self, target: str, now: int) -> int:
        with self._database.reading() as session:
            due = list(
                session.rows(
                    "SELECT id, run, number, attempts FROM notices WHERE target = ? AND done_ms = 0 AND next_ms <= ? "
                    "ORDER BY run, number LIMIT ?",
                    *(target, now, _TOGETHER),
                )
            )
        receiver, sent = self._receivers.get(target), 0
        for identity, run_id, number, attempts in due:
            (run,) = self._runs.find(run_id)
            step = self._runs.steps(run_id)[number]
            if receiver is None or now - step.time_ms > _GIVE_UP_MS:
                _log.warning("a notice is given up", extra={"notice": identity})
                self._note(identity, attempts, 0, _SENT_NEVER)
            elif self._send(receiver, identity, run, step):
                self._note(identity, attempts + 1, 0, now)
                sent += 1
            else:
                self._note(identity, attempts + 1, now + min(_FIRST_MS * 2**attempts, _LONGEST_MS), 0)
                break
        return sent

    def _send(self, receiver: Notify, identity: str, run: Run, step: Step) -> bool:
        try:
            request = urllib.request.Request(receiver.address(), *_content(receiver, identity, run, step))  # noqa: S310
            with _OPENER.open(request, timeout=_TIME_S):
                return True
        except (OSError, ValueError, HTTPException) as error:
            # The URL may be a secret, and some of these errors quote it.
            _log.warning("a notice was not taken", extra={"notice": identity, "error": type(error).__name__})
            return False

    def _note(self, identity: str, attempts: int, next_ms: int, done_ms: int) -> None:
        with self._database.writing() as session:
            session.run(
                "UPDATE notices SET attempts = ?, next_ms = ?, done_ms = ? WHERE id = ? AND done_ms = 0",
                *(attempts, next_ms, done_ms, identity),
            )


def _content(receiver: Notify, identity: str, run: Run, step: Step) -> tuple[bytes, dict[str, str]]:
    """Return body and headers."""
    facts = run.facts
    if receiver.format == "slack":
        told = f"*{run.model}: {step.state.value}* {step.note}\nrun {run.id}, candidate {facts.candidate or 'none'}"
        return msgspec.json.encode({"text": f"{told}, notice {identity}"}), {"content-type": "application/json"}
    data: dict[str, Any] = {
        "run": run.id,
        "model": run.model,
        "state": step.state.value,
        "note": step.note,
        "reason": run.reason,
        "dataset": facts.dataset,
        "candidate": facts.candidate,
        "champion": facts.champion,
        "report": facts.report,
        "commit": facts.commit,
    }
    return msgspec.json.encode(data), {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": identity,
        "ce-source": f"/mlapi/learn/{run.model}",
        "ce-type": f"io.mlapi.learning.{step.state.value}",
        "ce-subject": run.id,
        "ce-time": datetime.fromtimestamp(step.time_ms / 1000, UTC).isoformat(timespec="milliseconds"),
    }
