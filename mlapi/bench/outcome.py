"""What came of putting load on a server."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

OK: Final = 200


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        seconds: from the first request to the last answer.
        latencies_s: of the answers with status 200, in the order in which they came.
        statuses: answers by status.
        lost: requests whose connection ended before the answer was complete.
    """

    seconds: float = 0.0
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0

    @property
    def answered(self) -> int:
        """Requests answered with status 200."""
        return len(self.latencies_s)

    @property
    def failed(self) -> int:
        """Requests answered with another status, or not at all."""
        return self.lost + self.statuses.total() - self.statuses[OK]

    @property
    def rate(self) -> float:
        """Requests answered with status 200 a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def quantile_s(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed (nearest rank); NaN without answers."""
        if not self.latencies_s:
            return float("nan")
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
