"""Picks what goes into the next batch: by turns, so that no request holds up another, and by due time where it must."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Generic, TypeVar

from mlapi.batching.agenda import Agenda

ItemT = TypeVar("ItemT", bound=Hashable)

LARGE_TURNS: Final = 9
"""Batches of large requests after which one of small ones comes, and tokens of large ones for each of small ones,
however short the time is."""

PROMISED_SHARE: Final = LARGE_TURNS / (LARGE_TURNS + 1)
"""Share of the rate at which due times have to be kept."""


class Request(Generic[ItemT]):
    """What still waits of one request.

    Attributes:
        deadline: the time from which nothing of it is worth scoring.
        due: the time by which it has to be done; infinite if that was not promised.
        lanes: its items by padded length, each lane in the request's order; values are places within the request.
        tokens: padded tokens of all its items.
        rank: for a large request, its tokens and those that large ones had had when it came.
    """

    __slots__ = ("deadline", "due", "lanes", "rank", "tokens")

    def __init__(self, deadline: float, due: float) -> None:
        """Start with no items; fill it before it is queued."""
        self.deadline = deadline
        self.due = due
        self.lanes: dict[int, OrderedDict[ItemT, int]] = {}
        self.tokens = 0
        self.rank = 0

    def add(self, item: ItemT, padded: int, place: int) -> None:
        """Append an item; places rise."""
        lane = self.lanes.get(padded)
        if lane is None:
            lane = self.lanes[padded] = OrderedDict()
        lane[item] = place
        self.tokens += padded

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
        given_up: what was still queued of requests that cannot be done by their deadlines any more; one list a request.
    """

    padded: int = 0
    batch: list[ItemT] = field(default_factory=list)
    expired: list[ItemT] = field(default_factory=list)
    given_up: list[list[ItemT]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast work drains.

    Attributes:
        rate: padded tokens a second of all streams together.
        measured: whether that was measured just now; else it is an assumption, for which nothing is given up.
        lead_s: seconds until the runs in progress are done.
    """

    rate: float
    measured: bool = False
    lead_s: float = 0.0


class _Class(Generic[ItemT]):
    """Requests of one class: in order of arrival, by the lengths that they hold, and by due time."""

    __slots__ = ("agenda", "lanes", "requests")

    def __init__(self, slot_s: float) -> None:
        self.requests: OrderedDict[Request[ItemT], None] = OrderedDict()
        self.lanes: defaultdict[int, OrderedDict[Request[ItemT], None]] = defaultdict(OrderedDict)
        self.agenda: Agenda[Request[ItemT]] = Agenda(slot_s)


class FairQueue(Generic[ItemT]):
    """Requests in turn; each batch belongs to one of them, and others of equal padded length share the ride.

    A request of at most a batch's worth of tokens, the budget B, is small, any other is large. Small ones are served in
    order of arrival, large ones by rank: a shorter one overtakes a longer one that came earlier, unless large ones have
    had so many tokens since as it is shorter. So none is held up by a much longer one, and none is overtaken for longer
    than its own tokens take. Between the classes the turn changes by tokens: once the batches of small ones came to B
    tokens while a large one waited, the next turn is a large one's.

    A turn is given only if everything that is due earlier is in time all the same, done in the order of due times at
    `PROMISED_SHARE` of the rate. Otherwise the turn is that of the request which is due first, except that small ones
    have a turn for every nine batches of large ones. So what `excess` said would be in time is in time.

    A turn takes the length of the request's first item, then its items of that length as far as the budget goes, then
    those of small requests in order of arrival. Large ones fill what room is left in a turn of a large one only: a
    small request would wait longer for the batch that they make long. Where time is short, fewer or none ride along.
    Where several streams are idle, a turn takes no more than its share of what waits.

    Every operation costs O(1) an item, plus O(lengths + large requests + slots of the agenda) a batch.
    """

    def __init__(self, budget: int, slot_s: float, split: int | None = None) -> None:
        """Start empty.

        Args:
            budget: the most padded tokens in a batch of several items.
            slot_s: due times are told apart if they differ by so many seconds.
            split: padded tokens up to which a batch is not divided among idle streams; None: it never is.
        """
        self._budget = budget
        self._split = budget if split is None else split
        self._tokens = 0
        self._small: _Class[ItemT] = _Class(slot_s)
        self._large: _Class[ItemT] = _Class(slot_s)
        self._agenda: Agenda[Request[ItemT]] = Agenda(slot_s)
        self._preferred = 0
        self._urgent = 0
        self._large_tokens = 0

    def __bool__(self) -> bool:
        return bool(self._small.requests or self._large.requests)

    def is_large(self, request: Request[ItemT]) -> bool:
        """Tell to which class a request belongs that has all its items."""
        return request.tokens > self._budget

    def longest_batch(self, request: Request[ItemT]) -> int:
        """Return how many padded tokens a batch has at most that a request takes part in."""
        return max(self._budget, *request.lanes)

    def excess(self, request: Request[ItemT], start: float, *, rate: float, own_rate: float) -> float:
        """Return by how many padded tokens too much it would be if a request came in; zero or less if it is not.

        Too much is what would be late in the order of due times. A large request must fit among all, at `rate`, and
        among large ones, at `own_rate`. For a small one either is enough, among small ones at `own_rate`.

        Args:
            request: not queued yet.
            start: when the first of what waits can begin.
            rate: padded tokens a second for all.
            own_rate: padded tokens a second for the request's class.
        """
        tokens, due = request.tokens, request.due
        excess = self._agenda.excess(tokens, due, start, rate)
        if self.is_large(request):
            return max(excess, self._large.agenda.excess(tokens, due, start, own_rate))
        if excess <= 0:
            return excess
        return min(excess, self._small.agenda.excess(tokens, due, start, own_rate))

    def add(self, request: Request[ItemT]) -> None:
        """Queue a request, which holds at least one item."""
        owners = self._large if self.is_large(request) else self._small
        owners.requests[request] = None
        self._tokens += request.tokens
        request.rank = self._large_tokens + request.tokens
        for padded in request.lanes:
            owners.lanes[padded][request] = None
        self._agenda.add(request, request.due, request.tokens)
        owners.agenda.add(request, request.due, request.tokens)

    def take(self, now: float, pace: Pace, idle: int = 1) -> Taken[ItemT]:
        """Take the next batch: at least one item if one waits in time.

        Args:
            now: the time.
            pace: how fast work drains.
            idle: how many streams have nothing to do, the one that asks included.
        """
        expired: list[ItemT] = []
        given_up: list[list[ItemT]] = []
        budget = min(self._budget, max(self._split, -(-self._tokens // idle)))
        while self:
            request, spare = self._choose(now, pace)
            if request.deadline <= now:
                expired += self._remove(request)
            elif pace.measured and request.tokens > pace.rate * (request.deadline - now):
                given_up.append(self._remove(request))
            else:
                padded = request.oldest_length()
                batch = self._fill(request, padded, expired, now=now, room=budget // padded, spare=spare)
                return Taken(padded, batch, expired, given_up)
        self._preferred = 0
        return Taken(expired=expired, given_up=given_up)

    def discard(self, request: Request[ItemT], padded: int, item: ItemT) -> bool:
        """Drop one item; tells whether it was still waiting."""
        lane = request.lanes.get(padded)
        if lane is None or item not in lane:
            return False
        del lane[item]
        self._lost(request, padded, 1)
        return True

    def clear(self) -> list[ItemT]:
        """Take out everything."""
        return [
            item for each in (self._small, self._large) for one in list(each.requests) for item in self._remove(one)
        ]

    def _choose(self, now: float, pace: Pace) -> tuple[Request[ItemT], float]:
        """Return whose turn it is, and how many padded tokens of others may ride along."""
        fair = self._fair_turn()
        batch = self.longest_batch(fair)
        start, rate = now + pace.lead_s, pace.rate * PROMISED_SHARE
        spare = self._agenda.spare(start, rate)
        if spare >= batch:
            return fair, math.inf
        if spare < 0:
            # Something will be late at this rate. Full batches are what makes up for most.
            spare = math.inf
        if self._agenda.spare(start, rate, before=fair.due) >= batch:
            return fair, spare
        first = self._agenda.first()
        waited = self._urgent >= self._budget * LARGE_TURNS and fair in self._small.requests
        return fair if first is None or waited else first, spare

    def _fill(
        self,
        request: Request[ItemT],
        padded: int,
        expired: list[ItemT],
        *,
        now: float,
        room: int,
        spare: float,
    ) -> list[ItemT]:
        """Give a request its turn, and return the batch of at most `room` items, but at least one."""
        large = request in self._large.requests
        room = max(1, room)
        batch: list[ItemT] = []
        self._move(request, padded, batch, room)
        room = int(min(room, len(batch) + spare / padded))
        for others in (self._small, self._large) if large else (self._small,):
            sharing = others.lanes[padded]
            while len(batch) < room and sharing:
                other = next(iter(sharing))
                if other.deadline <= now:
                    expired += self._remove(other)
                else:
                    self._move(other, padded, batch, room)
        tokens = padded * len(batch)
        if large:
            self._large_tokens += tokens
        self._preferred = self._preferred + tokens if not large and self._large.requests else 0
        if not self._small.requests:
            self._urgent = 0
        else:
            self._urgent += tokens if large else -min(self._urgent, tokens * LARGE_TURNS)
        return batch

    def _fair_turn(self) -> Request[ItemT]:
        """Return whose turn it is if nothing is short of time."""
        if not self._large.requests or (self._small.requests and self._preferred < self._budget):
            return next(iter(self._small.requests))
        return min(self._large.requests, key=attrgetter("rank"))

    def _move(self, request: Request[ItemT], padded: int, batch: list[ItemT], room: int) -> None:
        """Fill the batch up to `room` items with a request's items of one length."""
        lane = request.lanes[padded]
        count = min(len(lane), room - len(batch))
        for _ in range(count):
            item, _ = lane.popitem(last=False)
            batch.append(item)
        self._lost(request, padded, count)

    def _remove(self, request: Request[ItemT]) -> list[ItemT]:
        """Take a request out, with all its items."""
        items: list[ItemT] = []
        for padded, lane in list(request.lanes.items()):
            items += lane
            count = len(lane)
            lane.clear()
            self._lost(request, padded, count)
        return items

    def _lost(self, request: Request[ItemT], padded: int, items: int) -> None:
        """Note that a request's lane lost so many items."""
        tokens = padded * items
        request.tokens -= tokens
        self._tokens -= tokens
        owners = self._large if request in self._large.requests else self._small
        self._agenda.taken(request, request.due, tokens, left=request.tokens)
        owners.agenda.taken(request, request.due, tokens, left=request.tokens)
        if request.lanes[padded]:
            return
        del request.lanes[padded]
        del owners.lanes[padded][request]
        if not request.lanes:
            del owners.requests[request]
