"""Two models whose batchers share one gate: whose batch is next, and what waiting for another model counts for."""

import pytest

from mlapi.batching.run_gate import RunGate
from tests.unit.batching.fakes import Bench, Clock, settle, text


def two(streams: int = 1) -> tuple[Bench, Bench]:
    """Return two models that share their clock and their processors."""
    clock, gate = Clock(), RunGate(streams)
    return Bench(streams=streams, gate=gate, clock=clock), Bench(streams=streams, gate=gate, clock=clock)


@pytest.mark.parametrize("streams", [1, 2])
async def test_a_miss_of_one_model_is_next_however_much_of_another_one_waits(streams: int) -> None:
    busy, other = two(streams)
    busy.batcher.submit([text(8, tag) for tag in range(10_000)], deadline=busy.later)
    await settle()
    for number in range(5):
        assert len(busy.model.calls) == streams + number
        other.batcher.submit([text(8, tag=-1)], deadline=other.later)
        await settle()
        assert len(other.model.calls) == number
        busy.clock.now += 1.0
        busy.model.calls[-1].finish()
        await settle()
        assert len(other.model.calls) == number + 1, "it took the turn that became free"
        busy.clock.now += 0.01
        other.model.calls[-1].finish()
        await settle()


async def _finish(bench: Bench, seconds: float) -> None:
    bench.clock.now += seconds
    bench.model.calls[-1].finish()
    await settle()


async def test_what_is_waited_for_the_first_turn_is_the_same_for_one_token_and_for_many() -> None:
    busy, _ = two()
    alone = Bench(rate=8.0)
    other = Bench(rate=8.0, gate=busy.gate, clock=busy.clock)
    (running,) = busy.batcher.submit([text(8)], deadline=busy.later)
    await settle()
    for bench in (other, alone):
        bench.batcher.submit([text(8, tag) for tag in range(20)], deadline=bench.later)
    await settle()
    assert (len(other.model.calls), len(alone.model.calls)) == (0, 1)
    await _finish(busy, 3.0)
    await _finish(other, 2.0)
    await _finish(alone, 2.0)
    assert running.done()
    assert other.admission.rate == pytest.approx(alone.admission.rate)


async def test_what_is_waited_between_two_turns_is_time_in_which_nothing_drains() -> None:
    busy, _ = two()
    alone = Bench(rate=8.0)
    other = Bench(rate=8.0, gate=busy.gate, clock=busy.clock)
    for bench in (other, busy, alone):
        bench.batcher.submit([text(8, tag) for tag in range(30)], deadline=bench.later)
    await settle()
    await _finish(other, 2.0)
    assert (len(other.model.calls), len(busy.model.calls)) == (1, 1)
    await _finish(busy, 3.0)
    await _finish(other, 2.0)
    await _finish(alone, 2.0)
    await _finish(alone, 5.0)
    assert other.admission.rate == pytest.approx(alone.admission.rate)
    assert other.sample("mlapi_inference_seconds_total") == 4.0, "what the model itself cost leaves the wait out"


async def test_a_quick_model_has_as_many_runs_as_fit_into_one_of_a_slow_one() -> None:
    slow, quick = two()
    for bench in (slow, quick):
        bench.batcher.submit([text(8, tag) for tag in range(1_000)], deadline=bench.later)
    await settle()
    await _finish(slow, 1.0)
    for number in range(4):
        assert (len(slow.model.calls), len(quick.model.calls)) == (1, number + 1)
        await _finish(quick, 0.25)
    assert (len(slow.model.calls), len(quick.model.calls)) == (2, 4)
