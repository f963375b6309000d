"""Tells the metrics how the runs of the learning loop are doing, and how often the models are right."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Final

from mlapi.feedback.base import Store, StoreError
from mlapi.feedback.runs import ENDED, Runs
from mlapi.learn.evaluation import asked, from_served, latest_digest
from mlapi.learn.measures import Interval
from mlapi.loop.plan import Plan
from mlapi.observability.metrics import LearningMetrics

_log = logging.getLogger(__name__)

_EVERY_S: Final = 60.0
_JOIN_S: Final = 5.0
_MS: Final = 1000
_LOOK_BACK: Final = 1000


class Watch:
    """Looks at the store in a thread of its own, once a minute.

    Attributes:
        accuracy: by model and sample, how often the models are right, as it was found when it looked last.
    """

    def __init__(
        self, plan: Plan, runs: Runs, store: Store, metrics: LearningMetrics, *, close: Callable[[], None]
    ) -> None:
        """Take the parts, which are used by the thread alone from now on; `close` closes what they work with."""
        self._plan = plan
        self._runs = runs
        self._store = store
        self._metrics = metrics
        self._close = close
        self.accuracy: dict[str, Mapping[str, Any]] = {}
        self._ending = Event()
        self._thread = Thread(target=self._work, name="learning watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End; not later than in a few seconds."""
        self._ending.set()
        self._thread.join(_JOIN_S)

    def look(self, now: int) -> None:
        """Look once, at a time in milliseconds since 1970.

        Raises:
            StoreError: the database failed.
        """
        counts = self._runs.counts()
        self._metrics.runs.clear()
        for (model, state), count in counts.items():
            self._metrics.runs.labels(model, state.value).set(count)
        for model in self._plan.models:
            open_runs = [run for run in self._runs.latest(model, _LOOK_BACK) if run.state not in ENDED]
            longest = max(((now - run.changed_ms) / _MS for run in open_runs[-1:]), default=0.0)
            self._metrics.in_state.labels(model).set(longest)
            self._metrics.stuck.labels(model).set(longest > self._plan.stuck_s)
            self._judge(model)

    def _judge(self, model: str) -> None:
        opinions = list(self._store.opinions(model))
        # Without any opinion no model has that digest, and nothing is measured.
        digest = latest_digest(opinions) or ""
        self.accuracy[model] = judged = asked(opinions, from_served(self._store.served(model), digest))
        for sample, found in judged.items():
            self._metrics.accuracy_opinions.labels(model, sample).set(found["count"])
            for bound in Interval._fields:
                if found["accuracy"] is not None:
                    self._metrics.accuracy.labels(model, sample, bound).set(found["accuracy"][bound])
                    continue
                # What was measured of another model, or is erased, says nothing of this one.
                with suppress(KeyError):
                    self._metrics.accuracy.remove(model, sample, bound)

    def _work(self) -> None:
        try:
            while True:
                try:
                    self.look(time.time_ns() // 1_000_000)
                except StoreError as error:
                    # MlapiFeedbackStoreDown tells of it.
                    _log.info("the runs cannot be looked at now: %s", error)
                except Exception:  # noqa: BLE001  it is logged whole
                    # A thread that ends leaves figures that never change again.
                    _log.exception("the runs cannot be looked at")
                if self._ending.wait(_EVERY_S):
                    return
        finally:
            self._close()
