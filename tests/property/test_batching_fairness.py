"""How long a request can be kept waiting for its turn, whatever else is queued."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from mlapi.batching.fair_queue import FairQueue, Request

Item: TypeAlias = tuple[int, int, int]  # request, place, length

REQUESTS = st.lists(st.sampled_from((8, 16, 24, 144)), min_size=1, max_size=12)
STEPS = st.lists(st.one_of(REQUESTS, st.just("take"), st.integers(0, 99)), max_size=60)


@dataclass
class Model:
    """The queue beside the simplest account of it: all that waits, and by which batch a request must have its turn."""

    queue: FairQueue[Item] = field(default_factory=FairQueue)
    requests: list[Request[Item]] = field(default_factory=list)
    waiting: dict[Item, None] = field(default_factory=dict)
    newcomers: list[int] = field(default_factory=list)
    rotation: list[int] = field(default_factory=list)
    due: dict[int, int] = field(default_factory=dict)
    batches: int = 0

    def add(self, lengths: Sequence[int]) -> None:
        number = len(self.requests)
        request: Request[Item] = Request(deadline=1.0)
        for place, length in enumerate(lengths):
            request.add((number, place, length), length, place)
            self.waiting[number, place, length] = None
        self.requests.append(request)
        self.queue.add(request)
        self.due[number] = self.batches + 2 * len(self.newcomers) + 2
        self.newcomers.append(number)

    def discard(self, index: int) -> None:
        if self.waiting:
            item = list(self.waiting)[index % len(self.waiting)]
            assert self.queue.discard(self.requests[item[0]], item[2], item)
            del self.waiting[item]
            self._forget_the_finished()

    def take(self, budget: int) -> None:
        taken = self.queue.take(budget, now=0.0)
        self.batches += bool(taken.batch)
        assert taken.expired == []
        assert bool(taken.batch) == bool(self.waiting)
        for item in taken.batch:
            del self.waiting[item]
        if taken.batch:
            self._check(taken.padded, taken.batch, budget)
            owner = taken.batch[0][0]
            (self.newcomers if owner in self.newcomers else self.rotation).remove(owner)
            self.due[owner] = self.batches + 2 * len(self.rotation) + 2
            self.rotation.append(owner)
        self._forget_the_finished()

    def _check(self, padded: int, batch: list[Item], budget: int) -> None:
        assert {item[2] for item in batch} == {padded}
        assert len(batch) == 1 or padded * len(batch) <= budget
        owner = batch[0][0]
        assert self.batches <= self.due[owner]
        assert not any(item[0] == owner and item[1] < batch[0][1] for item in self.waiting), (
            "the first item comes first"
        )
        if any(item[2] == padded for item in self.waiting):
            assert padded * (len(batch) + 1) > budget, "room was left although something would have fitted"

    def _forget_the_finished(self) -> None:
        alive = {item[0] for item in self.waiting}
        self.newcomers = [number for number in self.newcomers if number in alive]
        self.rotation = [number for number in self.rotation if number in alive]
        assert all(self.batches < self.due[number] for number in alive), "a request missed its turn"


@given(STEPS, st.sampled_from((1, 8, 20, 64, 1024)))
def test_every_request_has_its_turn_within_the_bound(steps: list[list[int] | str | int], budget: int) -> None:
    model = Model()
    for step in steps:
        if isinstance(step, list):
            model.add(step)
        elif isinstance(step, int):
            model.discard(step)
        else:
            model.take(budget)
    while model.waiting:
        model.take(budget)
    assert not model.queue
