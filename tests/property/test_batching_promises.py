"""Whom admission lets in is done in time: the queue and its door together, before a model of known speed."""

import math
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.admission import Admission
from mlapi.batching.fair_queue import FairQueue, Request
from mlapi.errors import OverloadedError
from mlapi.observability.metrics import Metrics
from tests.unit.batching.fakes import Clock

BUDGET = 64
RATE = 1000.0
DEADLINE_S = 2.0

LARGE = st.lists(st.sampled_from((8, 16, 24, 40, 144)), min_size=2, max_size=10).filter(lambda one: sum(one) > BUDGET)
GAPS_S = st.sampled_from((0.0, 0.01, 0.1, 0.4))


class Line:
    """One stream that computes `RATE` padded tokens a second, and who waits for it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue: FairQueue[tuple[int, int]] = FairQueue(BUDGET)
        self.door = Admission(max_waiting_tokens=10**9, rate=RATE, clock=self.clock, metrics=Metrics())
        self.free_at = self.clock.now
        self.left: dict[int, int] = {}
        self.late: list[int] = []

    def arrive(self, number: int, lengths: Sequence[int]) -> bool:
        """Let a request in, or not."""
        request: Request[tuple[int, int]] = Request(self.clock.now + DEADLINE_S)
        for place, length in enumerate(lengths):
            request.add((number, place), length, place)
        try:
            self.door.admit(
                request.tokens,
                request.deadline,
                texts=len(lengths),
                ahead=self.queue.ahead(request),
                held_up=self.queue.held_up_by(request),
            )
        except OverloadedError:
            return False
        self.queue.add(request)
        return True

    def work_until(self, end: float) -> None:
        """Begin all batches that can begin before a moment, which then is the present."""
        while self.queue and self.free_at < end:
            start = max(self.free_at, self.clock.now)
            taken = self.queue.take(start)
            self.late += [number for number, _ in taken.expired]
            tokens = taken.padded * len(taken.batch)
            self.door.started(tokens)
            self.door.finished(tokens, None)
            self.free_at = start + tokens / RATE
        self.clock.now = end


@settings(deadline=None)  # Other work on the machine is no failure.
@given(st.lists(st.tuples(GAPS_S, LARGE), min_size=1, max_size=60))
def test_of_requests_that_take_turns_none_that_was_let_in_is_late(arrivals: list[tuple[float, list[int]]]) -> None:
    line = Line()
    for number, (gap, lengths) in enumerate(arrivals):
        line.work_until(line.clock.now + gap)
        line.arrive(number, lengths)
    line.work_until(math.inf)
    assert line.late == []


def test_of_a_crowd_most_of_what_can_be_done_in_time_is_let_in() -> None:
    line = Line()
    let_in = 0
    for number in range(100):
        line.work_until(line.clock.now + 0.05)
        let_in += 2 * BUDGET * line.arrive(number, [16] * 8)
    line.work_until(math.inf)
    assert line.late == []
    assert let_in >= 5.0 * RATE, "a model kept busy for five seconds"
