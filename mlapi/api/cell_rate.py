"""How much each of many callers may send: the generic cell rate algorithm, by name."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MAX_NAMES: Final = 10_000


class CellRate:
    """The generic cell rate algorithm (ITU-T I.371): one number a name, no timer, and a bounded number of names."""

    def __init__(self, per_s: float, *, burst_s: float, clock: Callable[[], float]) -> None:
        """Allow each name that much a second, of which `burst_s` seconds' worth may come together."""
        self._cost_s = 1 / per_s
        self._burst_s = burst_s
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, name: str, amount: int) -> int:
        """Count what a name sends and return 0; if it is too much, count nothing and return the seconds to wait.

        More than a burst is let through when the name owes nothing, and is paid for afterwards.
        """
        now = self._clock()
        paid_until = max(now, self._paid_until.get(name, now))
        cost_s = amount * self._cost_s
        wait_s = paid_until - now - max(0.0, self._burst_s - cost_s)
        if wait_s > 0:
            return max(1, math.ceil(wait_s))
        self._paid_until[name] = paid_until + cost_s
        self._paid_until.move_to_end(name)
        if len(self._paid_until) > _MAX_NAMES:
            self._paid_until.popitem(last=False)
        return 0
