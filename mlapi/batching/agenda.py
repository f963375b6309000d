"""Keeps what waits in the order in which it is due, and tells what a model of a given speed does in time."""

import math
from bisect import bisect_left, insort
from collections.abc import Hashable
from typing import Generic, TypeVar

RequestT = TypeVar("RequestT", bound=Hashable)


class _Slot(Generic[RequestT]):
    """Requests that are due at about the same time, and the padded tokens that wait of all of them."""

    __slots__ = ("due", "requests", "tokens")

    def __init__(self) -> None:
        self.due = math.inf
        self.requests: dict[RequestT, None] = {}
        self.tokens = 0


class Agenda(Generic[RequestT]):
    """Padded tokens by the time at which they are due.

    Work that is done in the order of its due times is in time if at every due time no more is due up to then than the
    model computes until then, and no other order does better (earliest deadline first: Liu and Layland, 1973).

    Requests that are due within `slot_s` seconds of each other are kept together, in order of arrival, and count as due
    at the earliest of their times. Adding and taking cost O(log slots), questions O(slots).
    """

    def __init__(self, slot_s: float) -> None:
        self._slot_s = slot_s
        self.tokens = 0
        self._slots: dict[int, _Slot[RequestT]] = {}
        self._order: list[int] = []

    def add(self, request: RequestT, due: float, tokens: int) -> None:
        """Note that so many tokens of a request wait; without effect if it is never due."""
        if due == math.inf:
            return
        number = int(due // self._slot_s)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot()
            insort(self._order, number)
        slot.due = min(slot.due, due)
        slot.requests[request] = None
        slot.tokens += tokens
        self.tokens += tokens

    def taken(self, request: RequestT, due: float, tokens: int, *, left: int) -> None:
        """Note that so many tokens of a request wait no more, and how many still do."""
        if due == math.inf:
            return
        number = int(due // self._slot_s)
        slot = self._slots[number]
        slot.tokens -= tokens
        self.tokens -= tokens
        if left:
            return
        del slot.requests[request]
        if not slot.requests:
            del self._slots[number]
            del self._order[bisect_left(self._order, number)]

    def first(self) -> RequestT | None:
        """Return the request that is due first, if any is due at all."""
        return next(iter(self._slots[self._order[0]].requests)) if self._order else None

    def spare(self, start: float, rate: float, *, before: float = math.inf) -> float:
        """Return how many tokens can go first without making late anything that is due before some time.

        Negative where something is late at this rate anyway.

        Args:
            start: when the first of it can begin.
            rate: padded tokens a second.
            before: leave out what is due then or later.
        """
        last = before // self._slot_s if before < math.inf else math.inf
        due_so_far = 0
        least = math.inf
        for number in self._order:
            if number >= last:
                break
            slot = self._slots[number]
            due_so_far += slot.tokens
            least = min(least, (slot.due - start) * rate - due_so_far)
        return least

    def excess(self, tokens: int, due: float, start: float, rate: float) -> float:
        """Return by how many tokens a newcomer, or something because of it, would be late; zero or less if nothing is.

        What is late at this rate anyway, and due after the newcomer, is no reason to refuse it. The work begins at
        `start`, and the rate is in padded tokens a second.
        """
        mine = int(due // self._slot_s)
        due_so_far = self.tokens
        worst = -math.inf
        for number in reversed(self._order):
            slot = self._slots[number]
            if number <= mine:
                if number == mine:
                    due = min(due, slot.due)
                break
            room = (slot.due - start) * rate - due_so_far
            if room >= 0:
                worst = max(worst, tokens - room)
            due_so_far -= slot.tokens
        return max(worst, due_so_far + tokens - (due - start) * rate)
