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


async def test_seconds_spent_waiting_for_another_model_are_seconds_in_which_nothing_drains() -> None:
    busy, other = two()
    alone = Bench(rate=8.0)
    other = Bench(rate=8.0, gate=busy.gate, clock=busy.clock)
    (running,) = busy.batcher.submit([text(8)], deadline=busy.later)
    await settle()
    for bench in (other, alone):
        bench.batcher.submit([text(8, tag) for tag in range(20)], deadline=bench.later)
    await settle()
    assert (len(other.model.calls), len(alone.model.calls)) == (0, 1)
    busy.clock.now += 3.0
    busy.model.calls[0].finish()
    await settle()
    busy.clock.now += 2.0
    other.model.calls[0].finish()
    alone.clock.now += 5.0
    alone.model.calls[0].finish()
    await settle()
    assert running.done()
    assert other.admission.rate == pytest.approx(alone.admission.rate)
    assert other.sample("mlapi_inference_seconds_total") == 2.0, "what the model itself cost leaves the wait out"
