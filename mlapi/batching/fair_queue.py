"""Picks what goes into the next batch, so that no request holds up another."""

from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)


class Request(Generic[ItemT]):
    """What still waits of one request.

    Attributes:
        deadline: the time from which nothing of it is worth scoring.
        lanes: its items by padded length, each lane in the request's order; values are places within the request.
    """

    __slots__ = ("deadline", "lanes")

    def __init__(self, deadline: float) -> None:
        """Start with no items; fill it before it is queued."""
        self.deadline = deadline
        self.lanes: dict[int, OrderedDict[ItemT, int]] = {}

    def add(self, item: ItemT, padded: int, place: int) -> None:
        """Append an item; places rise."""
        lane = self.lanes.get(padded)
        if lane is None:
            lane = self.lanes[padded] = OrderedDict()
        lane[item] = place

    def oldest_length(self) -> int:
        """Return the padded length of the first item that still waits; there is one."""
        return min(self.lanes, key=lambda padded: next(iter(self.lanes[padded].values())))


@dataclass(frozen=True, slots=True)
class Taken(Generic[ItemT]):
    """What left the queue in one turn.

    Attributes:
        padded: the padded length that all of `batch` shares; 0 when nothing waits any more.
        batch: what to score together.
        expired: what was still queued of requests whose deadline has passed.
    """

    padded: int
    batch: list[ItemT]
    expired: list[ItemT]


class FairQueue(Generic[ItemT]):
    """Requests in turn; each batch belongs to one of them, and others of equal padded length share the ride.

    The turn goes to a newcomer, a request that had no turn yet, in order of arrival; but after a newcomer was preferred
    to requests that have had turns, the next turn is one of theirs, in rotation. So, whatever the size of anything:

    - a newcomer behind `n` other newcomers has its turn within `2n + 2` batches, and at once if it is the only one and
      none was preferred just before;
    - a request that has had a turn, with `m` of its kind before it, has the next one within `2m + 2` batches.

    A turn takes the length of the request's first item, then its items of that length as far as the budget goes, then
    those of other requests in order of arrival. Every operation costs O(1) an item, plus O(lengths) a batch.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._newcomers: OrderedDict[Request[ItemT], None] = OrderedDict()
        self._rotation: OrderedDict[Request[ItemT], None] = OrderedDict()
        self._lanes: defaultdict[int, OrderedDict[Request[ItemT], None]] = defaultdict(OrderedDict)
        self._overtaken = False

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._newcomers or self._rotation)

    def add(self, request: Request[ItemT]) -> None:
        """Queue a request, which holds at least one item."""
        self._newcomers[request] = None
        for padded in request.lanes:
            self._lanes[padded][request] = None

    def take(self, budget: int, now: float) -> Taken[ItemT]:
        """Take the next batch: at most `budget` padded tokens, but always at least one item if one waits in time."""
        expired: list[ItemT] = []
        while self:
            request = self._next_turn()
            if request.deadline <= now:
                expired += self._remove(request)
                continue
            padded = request.oldest_length()
            room = max(1, budget // padded)
            batch: list[ItemT] = []
            self._move(request, padded, batch, room)
            sharing = self._lanes[padded]
            while len(batch) < room and sharing:
                other = next(iter(sharing))
                if other.deadline <= now:
                    expired += self._remove(other)
                else:
                    self._move(other, padded, batch, room)
            return Taken(padded, batch, expired)
        return Taken(0, [], expired)

    def discard(self, request: Request[ItemT], padded: int, item: ItemT) -> bool:
        """Drop one item; tells whether it was still waiting."""
        lane = request.lanes.get(padded)
        if lane is None or item not in lane:
            return False
        del lane[item]
        self._forget_if_empty(request, padded)
        return True

    def clear(self) -> list[ItemT]:
        """Take out everything."""
        items: list[ItemT] = []
        for request in [*self._newcomers, *self._rotation]:
            items += self._remove(request)
        return items

    def _next_turn(self) -> Request[ItemT]:
        if self._rotation and (self._overtaken or not self._newcomers):
            self._overtaken = False
            request = next(iter(self._rotation))
            self._rotation.move_to_end(request)
        else:
            self._overtaken = bool(self._rotation)
            request, _ = self._newcomers.popitem(last=False)
            self._rotation[request] = None
        return request

    def _move(self, request: Request[ItemT], padded: int, batch: list[ItemT], room: int) -> None:
        """Fill the batch up to `room` items with the request's items of one length."""
        lane = request.lanes[padded]
        for _ in range(min(len(lane), room - len(batch))):
            item, _ = lane.popitem(last=False)
            batch.append(item)
        self._forget_if_empty(request, padded)

    def _forget_if_empty(self, request: Request[ItemT], padded: int) -> None:
        if request.lanes[padded]:
            return
        del request.lanes[padded]
        del self._lanes[padded][request]
        if not request.lanes:
            self._newcomers.pop(request, None)
            self._rotation.pop(request, None)

    def _remove(self, request: Request[ItemT]) -> list[ItemT]:
        items: list[ItemT] = []
        for padded, lane in request.lanes.items():
            items += lane
            del self._lanes[padded][request]
        request.lanes.clear()
        self._newcomers.pop(request, None)
        self._rotation.pop(request, None)
        return items
