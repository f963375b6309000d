"""Picks what goes into the next batch, so that no request holds up another."""

from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import accumulate
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

    @property
    def tokens(self) -> int:
        """Padded tokens of all its items."""
        return sum(padded * len(lane) for padded, lane in self.lanes.items())

    def batches(self, budget: int) -> int:
        """Return how many batches of at most `budget` padded tokens it takes."""
        return sum(-(-len(lane) // max(1, budget // padded)) for padded, lane in self.lanes.items())

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


@dataclass(frozen=True, slots=True)
class Prospect:
    """When a request that waits will be done, in padded tokens from now, its own included.

    Attributes:
        deadline: the time by which it has to be.
        tokens: as the queue is.
        with_another: if the request in question came in.
    """

    deadline: float
    tokens: int
    with_another: int


class _Class(Generic[ItemT]):
    """Requests of one class: in the order of their turns, and by the lengths that they hold, in order of arrival."""

    __slots__ = ("lanes", "tokens", "turns")

    def __init__(self) -> None:
        self.turns: OrderedDict[Request[ItemT], None] = OrderedDict()
        self.lanes: defaultdict[int, OrderedDict[Request[ItemT], None]] = defaultdict(OrderedDict)
        self.tokens = 0

    def add(self, request: Request[ItemT]) -> None:
        self.turns[request] = None
        self.tokens += request.tokens
        for padded in request.lanes:
            self.lanes[padded][request] = None

    def taken(self, request: Request[ItemT], padded: int, items: int) -> None:
        """Note that a request's lane lost so many items."""
        self.tokens -= padded * items
        if request.lanes[padded]:
            return
        del request.lanes[padded]
        del self.lanes[padded][request]
        if not request.lanes:
            del self.turns[request]

    def remove(self, request: Request[ItemT]) -> list[ItemT]:
        """Take a request out, with all its items."""
        items: list[ItemT] = []
        for padded, lane in list(request.lanes.items()):
            items += lane
            count = len(lane)
            lane.clear()
            self.taken(request, padded, count)
        return items


class FairQueue(Generic[ItemT]):
    """Requests in turn; each batch belongs to one of them, and others of equal padded length share the ride.

    A request of at most a batch's worth of tokens, the budget B, is small, any other is large. Small ones are served in
    order of arrival. Large ones rotate. Between the classes the turn changes by tokens: once the batches of small ones
    came to B tokens while a large one waited, the next turn is a large one's. So a small request waits for the batch
    that runs, for the small ones before it, and for one batch of large ones per B tokens of small ones; a large one has
    at least every second token, shared with the other large ones. `ahead` says it in tokens.

    A turn takes the length of the request's first item, then its items of that length as far as the budget goes, then
    those of small requests in order of arrival. Large ones fill what room is left in a turn of a large one only: a
    small request would wait longer for the batch that they make long. Where several streams are idle, a turn takes no
    more than its share of what waits.

    Every operation costs O(1) an item, plus O(lengths) a batch or a request.
    """

    def __init__(self, budget: int, split: int | None = None) -> None:
        """Start empty.

        Args:
            budget: the most padded tokens in a batch of several items.
            split: padded tokens up to which a batch is not divided among idle streams; None: it never is.
        """
        self._budget = budget
        self._split = budget if split is None else split
        self._small: _Class[ItemT] = _Class()
        self._large: _Class[ItemT] = _Class()
        self._preferred = 0
        self._longest = budget

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._small.turns or self._large.turns)

    def ahead(self, request: Request[ItemT]) -> int:
        """Return how many padded tokens of others go before the last of a request that is not queued yet, at most.

        Of those that wait now; who comes later can only ride along, or have the turns of its own class.
        """
        batch = max(self._longest, *request.lanes)
        if request.tokens <= self._budget:
            turns = 1 + (self._small.tokens + request.tokens) // self._budget
            before = turns * batch
        else:
            reach = request.batches(self._budget) * batch
            before = reach + sum(min(other.tokens, reach) for other in self._large.turns)
        return min(self._small.tokens + self._large.tokens, self._small.tokens + before)

    def held_up_by(self, request: Request[ItemT]) -> list[Prospect]:
        """Return what becomes of those that wait if a request comes in that takes turns with them.

        A small request holds up nobody: small ones before it go first, and large ones stand back for it by design.
        """
        if request.tokens <= self._budget:
            return []
        return [*self._last_small_one(request.tokens), *self._large_ones(request.tokens)]

    def _last_small_one(self, more: int) -> Iterable[Prospect]:
        """Every second batch is a large one's while there are any."""
        if self._small.turns:
            tokens, large = self._small.tokens, self._large.tokens
            deadline = next(reversed(self._small.turns)).deadline
            yield Prospect(deadline, tokens + min(tokens, large), tokens + min(tokens, large + more))

    def _large_ones(self, more: int) -> Iterable[Prospect]:
        """Until one is done, each of the others has at most as many turns, or all that it needs."""
        sizes = sorted(request.tokens for request in self._large.turns)
        sums = [0, *accumulate(sizes)]
        for request in self._large.turns:
            reach = request.batches(self._budget) * self._longest
            shorter = bisect_right(sizes, reach)
            tokens = self._small.tokens + sums[shorter] + reach * (len(sizes) - shorter)
            yield Prospect(request.deadline, tokens, tokens + min(more, reach))

    def add(self, request: Request[ItemT]) -> None:
        """Queue a request, which holds at least one item."""
        (self._small if request.tokens <= self._budget else self._large).add(request)
        self._longest = max(self._longest, *request.lanes)

    def take(self, now: float, idle: int = 1) -> Taken[ItemT]:
        """Take the next batch: at least one item if one waits in time.

        Args:
            now: the time.
            idle: how many streams have nothing to do, the one that asks included.
        """
        expired: list[ItemT] = []
        budget = min(self._budget, max(self._split, -(-(self._small.tokens + self._large.tokens) // idle)))
        while self:
            owners = self._next_class()
            request = next(iter(owners.turns))
            if request.deadline <= now:
                expired += owners.remove(request)
                continue
            owners.turns.move_to_end(request, last=owners is self._large)
            padded = request.oldest_length()
            room = max(1, budget // padded)
            batch: list[ItemT] = []
            _move(owners, request, padded, batch, room)
            for others in (self._small,) if owners is self._small else (self._small, self._large):
                sharing = others.lanes[padded]
                while len(batch) < room and sharing:
                    other = next(iter(sharing))
                    if other.deadline <= now:
                        expired += others.remove(other)
                    else:
                        _move(others, other, padded, batch, room)
            waited = owners is self._small and self._large.turns
            self._preferred = self._preferred + padded * len(batch) if waited else 0
            return Taken(padded, batch, expired)
        self._preferred = 0
        return Taken(0, [], expired)

    def discard(self, request: Request[ItemT], padded: int, item: ItemT) -> bool:
        """Drop one item; tells whether it was still waiting."""
        lane = request.lanes.get(padded)
        if lane is None or item not in lane:
            return False
        del lane[item]
        (self._small if request in self._small.turns else self._large).taken(request, padded, 1)
        return True

    def clear(self) -> list[ItemT]:
        """Take out everything."""
        items: list[ItemT] = []
        for each in (self._small, self._large):
            for request in list(each.turns):
                items += each.remove(request)
        return items

    def _next_class(self) -> _Class[ItemT]:
        if not self._large.turns:
            return self._small
        return self._large if not self._small.turns or self._preferred >= self._budget else self._small


def _move(owners: _Class[ItemT], request: Request[ItemT], padded: int, batch: list[ItemT], room: int) -> None:
    """Fill the batch up to `room` items with a request's items of one length."""
    lane = request.lanes[padded]
    count = min(len(lane), room - len(batch))
    for _ in range(count):
        item, _ = lane.popitem(last=False)
        batch.append(item)
    owners.taken(request, padded, count)
