"""Requests at a fixed rate while a test does something to Redis: how they were answered, and when hits were back."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from mlapi.bench.load import Target, open_loop
from mlapi.bench.outcome import Outcome
from tests.service_process import HOST, ServiceProcess, eventually

RATE: Final = 500.0
_WINDOW_S: Final = 0.25
_ENOUGH: Final = 0.98
"""Of the texts have to come from Redis for hits to count as back."""


@dataclass(slots=True)
class PacedLoad:
    """500 requests a second for so many seconds, of texts that Redis knows; a context manager that waits for the end.

    Attributes:
        outcome: what came of it, after the block.
        wrong: answers that were not those of the beginning.
    """

    service: ServiceProcess
    texts: Sequence[str]
    seconds: float
    outcome: Outcome = field(default_factory=Outcome)
    wrong: list[str] = field(default_factory=list)
    _expected: dict[str, bytes] = field(default_factory=dict)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Have Redis know the texts, and start."""
        self._expected = {text: self.service.predict(text).content for text in self.texts}
        eventually(self._all_known, "all texts in Redis", 30)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the last answer."""
        assert self._thread is not None
        self._thread.join()

    def until_hits_are_back(self, seconds: float) -> float:
        """Return after how long texts come from Redis again, for a whole quarter of a second."""
        began = time.monotonic()
        while True:
            started = time.monotonic()
            with self.service.counting() as rises:
                for text in itertools.cycle(self.texts):
                    if self.service.predict(text).content != self._expected[text]:
                        self.wrong.append(text)
                    if time.monotonic() > started + _WINDOW_S:
                        break
            texts = {name: count for name, count in rises.items() if name.startswith("mlapi_texts_total")}
            hits = sum(count for name, count in texts.items() if 'source="l2"' in name)
            if hits >= _ENOUGH * sum(texts.values()) and self.service.metric("mlapi_cache_breaker_state") == 0:
                return started - began
            assert time.monotonic() < began + seconds, f"hits are not back: {texts}"

    def figures(self, what: str, back_s: float) -> str:
        """Return the result as a line."""
        found = self.outcome
        latencies = ", ".join(f"p{share:.4g} {1000 * found.quantile_s(share / 100):.1f} ms" for share in (50, 99, 99.9))
        return (
            f"{what}: {found.answered} of {found.answered + found.failed} requests answered at {found.rate:.0f}/s, "
            f"{found.failed} failed, {len(self.wrong)} wrong; hits back after {back_s:.1f} s; {latencies}"
        )

    def _all_known(self) -> bool:
        answers = [self.service.predict(text).headers["cache-status"] for text in self.texts]
        return all(answer.startswith("mlapi; hit;") for answer in answers)

    def _run(self) -> None:
        target = Target(HOST, self.service.port, self.service.root)
        requests = [target.post("/predict", json.dumps({"text": text}).encode()) for text in self.texts]
        count = int(RATE * self.seconds)
        self.outcome = asyncio.run(
            open_loop(
                target, itertools.cycle(requests), rate=RATE, count=count, connections=16, clock=time.perf_counter
            )
        )
