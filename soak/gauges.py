"""Takes down what the processes hold over time, and judges whether it grows."""

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, NamedTuple

from soak.fleet import Fleet, use_of
from soak.ledger import Ledger

_MIB: Final = 1024 * 1024
_GROWTH: Final = 0.05
_GROWTH_MIB: Final = 8.0
_DESCRIPTORS: Final = 16
_LEAST_SAMPLES: Final = 20


class Sample(NamedTuple):
    """What was seen at one moment, seconds since the start: MiB and open descriptors of both processes, and answers."""

    when: float
    elder_mib: float
    elder_descriptors: int
    other_mib: float
    other_descriptors: int
    answered: int


class Gauges:
    """Takes samples.

    Attributes:
        samples: in their order.
    """

    def __init__(self, fleet: Fleet, ledger: Ledger) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._started = time.monotonic()
        self.samples: list[Sample] = []

    async def run(self, every_s: float, over: Callable[[], bool]) -> None:
        """Take one every so many seconds until it is over."""
        while not over():
            await asyncio.sleep(every_s)
            elder = use_of(self._fleet.elder.pid)
            try:
                other = use_of(self._fleet.other.pid)
            except FileNotFoundError:
                continue  # it has just been replaced
            self.samples.append(
                Sample(
                    time.monotonic() - self._started,
                    elder.memory / _MIB,
                    elder.descriptors,
                    other.memory / _MIB,
                    other.descriptors,
                    self._ledger.answered.total(),
                )
            )


class Growth(NamedTuple):
    """Medians of the second and of the last quarter of a soak, and what the latter may be."""

    second: float
    last: float
    bound: float

    @property
    def flat(self) -> bool:
        """Whether it stayed within its bound."""
        return self.last <= self.bound


def memory_growth(samples: Sequence[Sample]) -> Growth | None:
    """Judge the memory of the process that stays; None: too little was seen.

    The first quarter is left out: caches fill, and the allocator finds its size.
    """
    return _growth([sample.elder_mib for sample in samples], lambda mib: mib + max(_GROWTH_MIB, mib * _GROWTH))


def descriptor_growth(samples: Sequence[Sample]) -> Growth | None:
    """Judge its open descriptors, of which every connection is one; None: too little was seen."""
    return _growth([sample.elder_descriptors for sample in samples], lambda number: number + _DESCRIPTORS)


def _growth(values: Sequence[float], bound: Callable[[float], float]) -> Growth | None:
    quarter = len(values) // 4
    if len(values) < _LEAST_SAMPLES:
        return None
    second, last = median(values[quarter : 2 * quarter]), median(values[3 * quarter :])
    return Growth(second, last, bound(second))
