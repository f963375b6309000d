"""Learns how fast work drains, and knows how much that knowledge is worth."""

import math
from collections.abc import Callable
from typing import Final

MEMORY_S: Final = 5.0
"""Seconds of work after which an old measurement counts for 1/e."""

TRUST_S: Final = 2.0
"""Seconds without a measurement under load after which what was measured before is an assumption, no evidence."""

EVIDENCE_S: Final = 0.5
"""Seconds of measured work that make evidence; the weight of an assumption; and the most that one run can weigh: a run
that took longer says that the machine stood still, not how fast it is."""


class DrainRate:
    """Padded tokens a second of all streams together: a mean over the last seconds of work.

    Only runs that end while others wait measure it: then every stream is busy and batches are as large as they get. A
    run of an idle server is slower per token than it could be, so it can raise the rate and never lower it.

    An estimate that turns work away prevents the measurements that would correct it. So it counts as evidence only for
    `TRUST_S` after the last measurement under load. What comes later begins to measure anew, with the old value as an
    assumption of little weight.
    """

    def __init__(self, assumed: float, clock: Callable[[], float]) -> None:
        """Assume a rate until there is a measurement.

        Raises:
            ValueError: a rate that is not positive and finite.
        """
        if not 0 < assumed < math.inf:
            msg = f"a rate of {assumed} padded tokens a second is not positive and finite"
            raise ValueError(msg)
        self._clock = clock
        self._seconds = EVIDENCE_S
        self._tokens = assumed * EVIDENCE_S
        self._evidence_s = 0.0
        self._measured_at = -math.inf

    @property
    def value(self) -> float:
        """Padded tokens a second, as far as is known."""
        return self._tokens / self._seconds

    @property
    def trusted_s(self) -> float:
        """Seconds for which the value is still evidence, if nothing is measured; 0: it is an assumption."""
        if self._evidence_s < EVIDENCE_S:
            return 0.0
        return max(0.0, self._measured_at + TRUST_S - self._clock())

    def measured(self, tokens: int, seconds: float, *, under_load: bool) -> None:
        """Learn from a run: its tokens, and its share of the wall time."""
        if seconds <= 0:
            return  # Shorter than the clock can tell.
        if not under_load:
            if tokens > self.value * seconds:
                self._learn(tokens, seconds)
            return
        now = self._clock()
        if now - seconds - self._measured_at > TRUST_S:
            self._tokens, self._seconds = self.value * EVIDENCE_S, EVIDENCE_S
            self._evidence_s = 0.0
        self._measured_at = now
        self._evidence_s += min(seconds, EVIDENCE_S)
        self._learn(tokens, seconds)

    def _learn(self, tokens: int, seconds: float) -> None:
        weight = min(seconds, EVIDENCE_S)
        decay = math.exp(-weight / MEMORY_S)
        self._tokens = self._tokens * decay + tokens * weight / seconds
        self._seconds = self._seconds * decay + weight
