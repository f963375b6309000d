"""Models that share processors get the same time, and none waits for more than one run of another."""

import asyncio

import pytest

from mlapi.batching.run_gate import Lane, RunGate


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class Streams:
    """Streams of several models at one gate; every run takes as long as a test says."""

    def __init__(self, streams: int = 1) -> None:
        self.gate = RunGate(streams)
        self.order: list[Lane] = []

    async def run(self, lane: Lane, seconds: float) -> None:
        await self.gate.enter(lane)
        self.order.append(lane)
        await turn()
        self.gate.keeps(lane, seconds)
        self.gate.leave(lane)


async def test_alone_a_model_never_waits() -> None:
    gate = RunGate(2)
    lane = gate.lane()
    for _ in range(3):
        await asyncio.wait_for(gate.enter(lane), 1)
        await asyncio.wait_for(gate.enter(lane), 1)
        gate.leave(lane)
        gate.leave(lane)


async def test_two_busy_models_get_the_same_time_however_long_their_runs_are() -> None:
    streams = Streams()
    large, small = streams.gate.lane(), streams.gate.lane()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(streams.run(large, 10.0))
        for _ in range(200):
            group.create_task(streams.run(small, 1.0))
    first = streams.order[:110]
    assert first.count(large) == pytest.approx(10, abs=1)
    assert first.count(small) == pytest.approx(100, abs=1)


async def test_a_model_that_was_idle_waits_for_one_run_of_a_saturated_one() -> None:
    streams = Streams()
    busy, other = streams.gate.lane(), streams.gate.lane()
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(streams.run(busy, 1.0))
        await turn()
        began = len(streams.order)
        group.create_task(streams.run(other, 1.0))
    assert streams.order.index(other) <= began + 1


async def test_a_pause_saves_nothing_up() -> None:
    streams = Streams()
    busy, other = streams.gate.lane(), streams.gate.lane()
    for _ in range(50):
        await streams.run(busy, 1.0)
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(streams.run(busy, 1.0))
            group.create_task(streams.run(other, 1.0))
    assert streams.order[50:60].count(busy) == pytest.approx(5, abs=1)


async def test_time_that_a_model_had_alone_is_not_held_against_it() -> None:
    streams = Streams()
    first, second = streams.gate.lane(), streams.gate.lane()
    for _ in range(50):
        await streams.run(first, 1.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(streams.run(second, 1.0))
        await turn()
        for _ in range(10):
            group.create_task(streams.run(second, 1.0))
            group.create_task(streams.run(first, 1.0))
    assert streams.order[50:60].count(first) == pytest.approx(5, abs=1)


async def test_a_model_keeps_its_turn_until_another_one_had_less_time() -> None:
    gate = RunGate(1)
    quick, slow = gate.lane(), gate.lane()
    await gate.enter(slow)
    turns = asyncio.create_task(gate.enter(quick))
    await turn()
    assert not gate.keeps(slow, 1.0)
    gate.leave(slow)
    await turns
    waiting = asyncio.create_task(gate.enter(slow))
    await turn()
    assert [gate.keeps(quick, 0.25) for _ in range(4)] == [True, True, True, False]
    gate.leave(quick)
    await waiting
    gate.leave(slow)


async def test_the_wait_for_a_turn_is_as_long_as_the_last_run_of_the_others() -> None:
    gate = RunGate(1)
    one, other, third = (gate.lane() for _ in range(3))
    await gate.enter(other)
    assert gate.wait_s(one) == 0.0, "nothing is known of its runs yet"
    gate.keeps(other, 3.0)
    assert (gate.wait_s(one), gate.wait_s(other)) == (3.0, 0.0)
    waiting = asyncio.create_task(gate.enter(third))
    await turn()
    gate.keeps(third, 0.5)
    assert gate.wait_s(one) == 3.5
    gate.leave(other)
    await waiting
    gate.leave(third)
    assert gate.wait_s(one) == 0.0


async def test_no_more_runs_are_under_way_than_there_are_streams() -> None:
    gate = RunGate(2)
    lanes = [gate.lane() for _ in range(3)]
    most = 0

    async def run(lane: Lane) -> None:
        nonlocal most
        await gate.enter(lane)
        most = max(most, sum(each.running for each in lanes))
        await turn()
        gate.leave(lane)

    await asyncio.gather(*(run(lanes[number % 3]) for number in range(30)))
    assert most == 2
    assert not any(lane.busy for lane in lanes)


@pytest.mark.parametrize("given", [False, True])
async def test_who_is_cancelled_while_waiting_takes_no_turn_away(given: bool) -> None:  # noqa: FBT001  a case, not a switch
    gate = RunGate(1)
    lane = gate.lane()
    await gate.enter(lane)
    waiting = asyncio.create_task(gate.enter(lane))
    await turn()
    if given:
        gate.leave(lane)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not given:
        gate.leave(lane)
    await asyncio.wait_for(gate.enter(lane), 1)
    assert lane.running == 1
