"""A bounded sample of the texts that are asked for most, kept only where the operator wants rollouts to use it."""

import sys
from collections.abc import Callable, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Final

SHARE: Final = 1 / 8
"""Of requests, how many are looked at: enough to find what is popular, and few enough to cost a hit nearly nothing."""

HALF_LIFE_S: Final = 600.0
"""How often all counts are halved: what nobody asks for any more is forgotten."""

ENTRY_BYTES: Final = 200
"""What an entry takes beside its text: a place in the dictionary, which may be two thirds empty, and its count."""

_COUNT: Final = itemgetter(1)


class HotTexts:
    """Texts and how often each was seen in the requests that were looked at; for one event loop.

    A count is halved every ten minutes and whenever the sample is full, and a text whose count falls to zero is gone:
    that bounds both the memory and the time that a text is kept for.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """Start empty.

        Args:
            max_bytes: what the texts and their counts may take.
            clock: monotonic seconds.
            chance: uniform random numbers in [0, 1).
        """
        self._max_bytes = max_bytes
        self._clock = clock
        self._chance = chance
        self._counts: dict[str, int] = {}
        self._bytes = 0
        self._halve_at = clock() + HALF_LIFE_S

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def bytes(self) -> int:
        """What the sample takes, about."""
        return self._bytes

    def due(self) -> bool:
        """Whether this request is one of those that are looked at."""
        return self._chance() < SHARE

    def note(self, texts: Sequence[str]) -> None:
        """Count the texts of one request."""
        self._age()
        counts = self._counts
        for text in texts:
            count = counts.get(text)
            if count is not None:
                counts[text] = count + 1
                continue
            size = _size(text)
            if size > self._max_bytes:
                continue
            while self._bytes + size > self._max_bytes:
                self._halve()
            counts[text] = 1
            self._bytes += size

    def hottest(self, limit: int) -> list[tuple[str, int]]:
        """Return at most so many texts with their counts, the most frequent first."""
        self._age()
        return nlargest(limit, self._counts.items(), key=_COUNT)

    def _age(self) -> None:
        now = self._clock()
        while now >= self._halve_at:
            self._halve_at += HALF_LIFE_S
            if not self._counts:
                self._halve_at = now + HALF_LIFE_S
                return
            self._halve()

    def _halve(self) -> None:
        # A new dictionary: the old one would keep the room for all that it ever held.
        self._counts = {text: count >> 1 for text, count in self._counts.items() if count > 1}
        self._bytes = sum(map(_size, self._counts))


def _size(text: str) -> int:
    return ENTRY_BYTES + sys.getsizeof(text)
