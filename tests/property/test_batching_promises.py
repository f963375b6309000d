"""Whom admission lets in is done in time: the batcher before a simulated engine of any speed."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.admission import DOOR_SHARE, DUE_SHARE, MOST_SMALL_SHARE
from mlapi.batching.drain_rate import MEMORY_S
from mlapi.batching.fair_queue import LARGE_TURNS
from tests.unit.batching.simulation import Sent, Simulation

BUDGET = 64
RATE = 200.0
LONGEST = 144


@dataclass(frozen=True)
class Arrival:
    """A request that comes so long after the one before, with a deadline so far ahead; seconds."""

    gap_s: float
    lengths: list[int]
    within_s: float


def arrivals(lengths: st.SearchStrategy[list[int]], max_size: int = 50) -> st.SearchStrategy[list[Arrival]]:
    gaps = st.sampled_from((0.0, 0.0, 0.05, 0.5, 2.0))
    return st.lists(st.builds(Arrival, gaps, lengths, st.floats(9.0, 10.0)), min_size=1, max_size=max_size)


LENGTHS = st.sampled_from((8, 16, 24, 40, LONGEST))
SMALL = st.lists(st.sampled_from((8, 16, 24)), min_size=1, max_size=2)
LARGE = st.lists(LENGTHS, min_size=5, max_size=20).filter(lambda one: BUDGET < sum(one) < RATE * 4)
SPEEDS = st.floats(1.0, 3.0)
STREAMS = st.integers(1, 3)


def among_small_ones(coming: Sequence[Arrival], every_s: float) -> Iterator[Arrival]:
    """Let small requests come at regular times between the others, and for some time after them."""
    left_s = every_s
    for arrival in [*coming, Arrival(5.0, [8], 9.0)]:
        gap_s = arrival.gap_s
        while gap_s >= left_s:
            yield Arrival(left_s, [24], 10.0)
            gap_s -= left_s
            left_s = every_s
        left_s -= gap_s
        yield replace(arrival, gap_s=gap_s)


async def play(simulation: Simulation, coming: Iterable[Arrival]) -> None:
    for arrival in coming:
        await simulation.until(simulation.clock.now + arrival.gap_s)
        simulation.send(arrival.lengths, arrival.within_s)


def backlog(simulation: Simulation, request: Sent) -> int:
    """Return the tokens that were promised and not done when a request came, its own included."""
    earlier = [one for one in simulation.sent[: request.number] if one.admitted]
    return request.tokens + sum(
        one.tokens for one in earlier if (one.done_at or one.failed_at or request.sent_at) >= request.sent_at
    )


@settings(max_examples=100, deadline=None)  # Other work on the machine is no failure.
@given(arrivals(LARGE, 25), st.floats(0.01, 1.2), SPEEDS, STREAMS)
def test_nobody_who_was_let_in_is_late_if_the_engine_is_as_fast_as_believed(
    coming: list[Arrival], small_load: float, faster: float, streams: int
) -> None:
    async def scenario() -> None:
        simulation = Simulation(speed=RATE * faster, assumed=RATE, streams=streams, budget=BUDGET)
        await play(simulation, among_small_ones(coming, 24 / (RATE * faster * small_load)))
        await simulation.rest()
        assert [one for one in simulation.sent if one.admitted and not one.in_time] == []
        for one in simulation.sent:
            if one.at_the_door:
                share = DOOR_SHARE - MOST_SMALL_SHARE if one.tokens > BUDGET else DOOR_SHARE
                lead = (2 * streams - 1) * LONGEST
                assert backlog(simulation, one) + lead > share * RATE * DUE_SHARE * 9.0, "refused without need"

    asyncio.run(scenario())


@settings(max_examples=50, deadline=None)  # Other work on the machine is no failure.
@given(arrivals(st.one_of(SMALL, LARGE), 30), st.floats(0.1, 1.0))
def test_when_the_engine_slows_down_only_those_are_late_who_came_before_that_was_known(
    coming: list[Arrival], slower: float
) -> None:
    async def scenario() -> None:
        simulation = Simulation(speed=RATE, assumed=RATE / slower, budget=BUDGET)
        slowed_at = simulation.clock.now
        while simulation.admission.rate > RATE * 1.05:
            simulation.send([8] * 100, 10.0)
            await simulation.until(simulation.clock.now + 1.0)
        assert simulation.clock.now - slowed_at < 4 * MEMORY_S
        known = len(simulation.sent)
        await play(simulation, coming)
        await simulation.rest()
        assert [one for one in simulation.sent[known:] if one.admitted and not one.in_time] == []

    asyncio.run(scenario())


@settings(max_examples=50, deadline=None)  # Other work on the machine is no failure.
@given(st.floats(0.0, 8.0), st.sampled_from(([8], [16], [8, 8], [24, 8])), st.floats(0.5, 1.0), STREAMS)
def test_a_small_request_beside_a_huge_one_is_answered_soon_even_if_the_engine_is_too_slow_for_the_huge_one(
    later_s: float, lengths: list[int], slower: float, streams: int
) -> None:
    async def scenario() -> None:
        simulation = Simulation(speed=RATE * slower, assumed=RATE, streams=streams, budget=32)
        simulation.send([8] * int(DOOR_SHARE * DUE_SHARE * 10.0 * RATE / 8 - 32), 10.0)
        await simulation.until(simulation.clock.now + later_s)
        small = simulation.send(lengths, 10.0)
        await simulation.rest()
        # Its two lengths need two turns.
        batches = 2 * streams + 2 * LARGE_TURNS + 2
        assert small.took_s <= batches * 32 / (RATE * slower)

    asyncio.run(scenario())


@settings(max_examples=50, deadline=None)  # Other work on the machine is no failure.
@given(arrivals(st.one_of(SMALL, LARGE), 30), st.floats(0.001, 1.0), st.floats(2.01, 60.0))
def test_whatever_was_measured_an_idle_server_takes_what_fits_the_bound(
    before: list[Arrival], slower: float, idle_s: float
) -> None:
    async def scenario() -> None:
        bound = int(5 * RATE)
        simulation = Simulation(speed=RATE * slower, assumed=RATE, budget=BUDGET, max_waiting_tokens=bound)
        await play(simulation, before)
        await simulation.rest()
        simulation.speed = RATE
        await simulation.until(simulation.clock.now + idle_s)
        bulk = simulation.send([8] * (bound // 8), 10.0)
        await simulation.rest()
        assert bulk.in_time

    asyncio.run(scenario())


@settings(max_examples=10, deadline=None)  # Other work on the machine is no failure.
@given(st.lists(st.floats(0.05, 0.3), min_size=10, max_size=30), st.floats(0.05, 0.5), st.integers(1, 60))
def test_a_quick_model_beside_a_saturated_slow_one_takes_what_fits_into_its_half_of_the_time(
    gaps: list[float], run_s: float, texts: int
) -> None:
    async def scenario() -> None:
        slow = Simulation(speed=BUDGET / run_s, assumed=BUDGET / run_s, budget=BUDGET)
        quick = Simulation(speed=10_000.0, assumed=10_000.0, budget=BUDGET, overhead_s=0.001, beside=slow)
        slow.send([BUDGET] * 1_000, 1e6)
        for gap_s in gaps:
            await quick.until(quick.clock.now + gap_s)
            quick.send([8, 16, 24], 10.0)
        bulk = quick.send([LONGEST] * texts, 10.0)
        await quick.until(quick.clock.now + 10.0)
        assert [one for one in quick.sent if not one.in_time] == []
        assert bulk.took_s < 2 * (bulk.tokens / quick.speed + texts * quick.overhead_s) + 2 * run_s

    asyncio.run(scenario())
