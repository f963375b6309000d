"""Whose turn it is while nothing is short of time, whatever is queued and withdrawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.fair_queue import FairQueue, Pace, Request

Item: TypeAlias = tuple[int, int, int]  # request, place, length

REQUESTS = st.lists(st.sampled_from((8, 16, 24, 144)), min_size=1, max_size=12)
STEPS = st.lists(st.one_of(REQUESTS, st.just("take"), st.integers(0, 99)), max_size=60)
BUDGETS = st.sampled_from((1, 8, 20, 64, 1024))


@dataclass
class Model:
    """The queue beside the simplest account of it: all that waits, and whose turn it has to be."""

    budget: int
    requests: list[Request[Item]] = field(default_factory=list)
    waiting: dict[Item, None] = field(default_factory=dict)
    small: list[int] = field(default_factory=list)
    large: list[int] = field(default_factory=list)
    ranks: dict[int, int] = field(default_factory=dict)
    large_tokens: int = 0
    preferred: int = 0

    def __post_init__(self) -> None:
        self.queue: FairQueue[Item] = FairQueue(self.budget, 0.1)

    def request(self, lengths: Sequence[int]) -> Request[Item]:
        number = len(self.requests)
        request: Request[Item] = Request(deadline=1.0, due=1.0)
        for place, length in enumerate(lengths):
            request.add((number, place, length), length, place)
        return request

    def add(self, lengths: Sequence[int]) -> int:
        number = len(self.requests)
        request = self.request(lengths)
        self.waiting |= {item: None for lane in request.lanes.values() for item in lane}
        self.requests.append(request)
        self.queue.add(request)
        self.ranks[number] = self.large_tokens + sum(lengths)
        (self.small if sum(lengths) <= self.budget else self.large).append(number)
        return number

    def discard(self, index: int) -> None:
        if self.waiting:
            item = list(self.waiting)[index % len(self.waiting)]
            assert self.queue.discard(self.requests[item[0]], item[2], item)
            del self.waiting[item]
            self._forget_the_finished()

    def take(self) -> list[Item]:
        taken = self.queue.take(0.0, Pace(1e9))
        assert taken.expired == []
        assert bool(taken.batch) == bool(self.waiting)
        for item in taken.batch:
            del self.waiting[item]
        if taken.batch:
            self._check_the_batch(taken.padded, taken.batch)
            self._check_the_turn(taken.batch)
        self._forget_the_finished()
        return taken.batch

    def _check_the_batch(self, padded: int, batch: list[Item]) -> None:
        assert {item[2] for item in batch} == {padded}
        assert len(batch) == 1 or padded * len(batch) <= self.budget
        owner = batch[0][0]
        assert not any(item[0] == owner and item[1] < batch[0][1] for item in self.waiting), (
            "the first item comes first"
        )
        riders = {*self.small, *self.large} if owner in self.large else {*self.small}
        assert {item[0] for item in batch} <= riders
        if any(item[2] == padded and item[0] in riders for item in self.waiting):
            assert padded * (len(batch) + 1) > self.budget, "room was left although something would have fitted"

    def _check_the_turn(self, batch: list[Item]) -> None:
        owner = batch[0][0]
        if owner in self.small:
            assert not self.large or self.preferred < self.budget, "a large request was due"
            assert owner == self.small[0]
            self.preferred = self.preferred + sum(item[2] for item in batch) if self.large else 0
        else:
            assert not self.small or self.preferred >= self.budget, "a small request was due"
            assert owner == min(self.large, key=self.ranks.__getitem__)
            self.large_tokens += sum(item[2] for item in batch)
            self.preferred = 0

    def _forget_the_finished(self) -> None:
        assert self.queue._agenda.tokens == sum(item[2] for item in self.waiting)
        alive = {item[0] for item in self.waiting}
        self.small = [number for number in self.small if number in alive]
        self.large = [number for number in self.large if number in alive]


def play(steps: list[list[int] | str | int], budget: int) -> Model:
    model = Model(budget)
    for step in steps:
        if isinstance(step, list):
            model.add(step)
        elif isinstance(step, int):
            model.discard(step)
        else:
            model.take()
    return model


@settings(deadline=None)  # Other work on the machine is no failure.
@given(STEPS, BUDGETS)
def test_every_batch_belongs_to_the_request_whose_turn_it_is(steps: list[list[int] | str | int], budget: int) -> None:
    model = play(steps, budget)
    while model.waiting:
        model.take()
    assert not model.queue
