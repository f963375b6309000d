"""Which texts reach the model, together with which others, and when."""

import asyncio

import pytest
import uvloop

from mlapi.batching.batcher import Scored
from mlapi.errors import BatchTooLargeError, DeadlineExceededError, OverloadedError
from tests.unit.batching.fakes import Bench, scores, settle, text


async def test_the_texts_of_a_call_are_scored_together_and_answered_in_order() -> None:
    bench = Bench()
    texts = [text(5, tag=1), text(8, tag=2), text(3, tag=3)]
    futures = bench.batcher.submit(texts, deadline=bench.later)
    call = await bench.model.call(0)
    assert (call.texts, call.padded) == (texts, 8)
    call.finish()
    assert [scored.scores for scored in await asyncio.gather(*futures)] == [scores(one) for one in texts]


async def test_no_texts_need_no_model() -> None:
    bench = Bench()
    assert bench.batcher.submit([], deadline=bench.clock.now) == []
    await settle()
    assert bench.model.calls == []


async def test_texts_of_several_callers_in_one_turn_of_the_loop_go_together() -> None:
    bench = Bench(streams=2)
    for tag in range(3):
        bench.batcher.submit([text(8, tag)], deadline=bench.later)
    await settle()
    assert [call.tags for call in bench.model.calls] == [[0, 1, 2]]


async def test_texts_of_different_padded_lengths_never_share_a_batch() -> None:
    bench = Bench(streams=4)
    bench.batcher.submit([text(8, 0), text(9, 1), text(16, 2), text(7, 3), text(130, 4)], deadline=bench.later)
    await settle()
    assert [(call.padded, call.tags) for call in bench.model.calls] == [(8, [0, 3]), (16, [1, 2]), (144, [4])]


async def test_a_batch_keeps_to_the_budget_of_padded_tokens_unless_it_is_a_single_text() -> None:
    bench = Bench(streams=4, max_batch_tokens=40)
    bench.batcher.submit([text(9, 0), text(9, 1), text(9, 2), text(50, 3)], deadline=bench.later)
    await settle()
    assert [call.tags for call in bench.model.calls] == [[0, 1], [2], [3]]


async def test_as_many_runs_are_in_flight_as_there_are_streams() -> None:
    bench = Bench(streams=2, max_batch_tokens=8)
    bench.batcher.submit([text(8, tag) for tag in range(4)], deadline=bench.later)
    await settle()
    assert len(bench.model.calls) == 2
    bench.model.calls[1].finish()
    await settle()
    assert [call.tags for call in bench.model.calls] == [[0], [1], [2]]


async def test_batches_form_while_the_streams_are_busy() -> None:
    bench = Bench()
    for tag in range(4):
        bench.batcher.submit([text(8, tag)], deadline=bench.later)
        await settle()
    assert [call.tags for call in bench.model.calls] == [[0]]
    bench.model.calls[0].finish()
    assert (await bench.model.call(1)).tags == [1, 2, 3]


async def test_an_idle_batcher_goes_to_work_again() -> None:
    bench = Bench(streams=2)
    for number in range(5):
        (future,) = bench.batcher.submit([text(8, number)], deadline=bench.later)
        (await bench.model.call(number)).finish()
        assert (await future).scores == (float(number), 8.0)


@pytest.mark.parametrize("streams", [1, 2])
async def test_a_single_text_is_in_the_next_batch_whatever_bulk_is_queued(streams: int) -> None:
    bench = Bench(streams=streams, max_batch_tokens=1024)
    bench.batcher.submit([text(8 + tag % 100, tag) for tag in range(10_000)], deadline=bench.later)
    await settle()
    for _ in range(5):
        bench.model.calls[-streams].finish()
        await settle()
    formed = len(bench.model.calls)
    bench.batcher.submit([text(500, tag=-1)], deadline=bench.later)
    bench.model.calls[-streams].finish()
    assert (await bench.model.call(formed)).tags == [-1]


async def test_a_bulk_that_will_not_make_the_deadline_of_a_single_text_does_not_have_it_refused() -> None:
    bench = Bench(max_batch_tokens=512)
    bench.batcher.submit([text(16, tag) for tag in range(10_000)], deadline=bench.later)
    running = await bench.model.call(0)
    # 160 000 padded tokens wait, and drain at a million a second.
    (single,) = bench.batcher.submit([text(16, tag=-1)], deadline=bench.clock.now + 0.01)
    running.finish()
    (await bench.model.call(1)).finish()
    assert (await single).scores == (-1.0, 16.0)
    with pytest.raises(OverloadedError):
        bench.batcher.submit([text(16, tag) for tag in range(10_000)], deadline=bench.clock.now + 0.2)


async def test_what_admission_refuses_leaves_nothing_behind() -> None:
    bench = Bench(max_waiting_tokens=24, max_batch_tokens=8)
    bench.batcher.submit([text(8, 0), text(8, 1)], deadline=bench.later)
    await bench.model.call(0)
    with pytest.raises(OverloadedError):
        bench.batcher.submit([text(8, 2), text(8, 3), text(8, 4)], deadline=bench.later)
    with pytest.raises(BatchTooLargeError):
        bench.batcher.submit([text(32, 5)], deadline=bench.later)
    with pytest.raises(ValueError, match="513 tokens"):
        bench.batcher.submit([text(8, 6), text(513, 7)], deadline=bench.later)
    assert bench.admission.waiting_tokens == 8
    for number in range(2):
        (await bench.model.call(number)).finish()
        await settle()
    assert [call.tags for call in bench.model.calls] == [[0], [1]]


async def test_a_text_cancelled_while_queued_never_reaches_the_model() -> None:
    bench = Bench()
    bench.batcher.submit([text(8)], deadline=bench.later)
    first = await bench.model.call(0)
    cancelled, kept = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)
    cancelled.cancel()
    await settle()
    assert bench.admission.waiting_tokens == 8
    first.finish()
    second = await bench.model.call(1)
    assert second.tags == [2]
    second.finish()
    assert (await kept).scores == (2.0, 8.0)


async def test_texts_cancelled_in_the_very_turn_of_their_batch_do_not_reach_the_model_either() -> None:
    bench = Bench()
    (cancelled,) = bench.batcher.submit([text(8, 1)], deadline=bench.later)
    (kept,) = bench.batcher.submit([text(8, 2)], deadline=bench.later)
    cancelled.cancel()
    call = await bench.model.call(0)
    assert call.tags == [2]
    assert (bench.admission.waiting_tokens, bench.sample("mlapi_queue_wait_seconds_count")) == (0, 1.0)
    call.finish()
    assert (await kept).scores == (2.0, 8.0)


async def test_a_text_cancelled_while_it_is_scored_does_not_disturb_its_neighbour() -> None:
    bench = Bench()
    cancelled, kept = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)
    call = await bench.model.call(0)
    cancelled.cancel()
    call.finish()
    assert (await kept).scores == (2.0, 8.0)


async def test_a_text_whose_deadline_passes_in_the_queue_fails_without_reaching_the_model() -> None:
    bench = Bench()
    bench.batcher.submit([text(8)], deadline=bench.later)
    first = await bench.model.call(0)
    late = bench.batcher.submit([text(8, 1), text(16, 2)], deadline=bench.clock.now + 1.0)
    bench.batcher.submit([text(8, 3)], deadline=bench.later)
    bench.clock.now += 1.0
    first.finish()
    assert (await bench.model.call(1)).tags == [3]
    assert [type(future.exception()) for future in late] == [DeadlineExceededError] * 2
    assert bench.admission.waiting_tokens == 0


async def test_an_answer_says_how_long_it_waited_and_how_long_its_run_took() -> None:
    bench = Bench()
    (first,) = bench.batcher.submit([text(5)], deadline=bench.later)
    running = await bench.model.call(0)
    (second,) = bench.batcher.submit([text(5, 1)], deadline=bench.later)
    bench.clock.now += 0.5
    running.finish()
    running = await bench.model.call(1)
    bench.clock.now += 0.25
    running.finish()
    assert await first == Scored((0.0, 5.0), queue_s=0.0, model_s=0.5)
    assert await second == Scored((1.0, 5.0), queue_s=0.5, model_s=0.25)


async def test_every_batch_is_counted_with_its_texts_tokens_waits_and_cost() -> None:
    bench = Bench(max_batch_tokens=16)
    bench.batcher.submit([text(5), text(6), text(7)], deadline=bench.later)
    for number, seconds in enumerate((0.5, 0.25)):
        call = await bench.model.call(number)
        bench.clock.now += seconds
        call.finish()
    await settle()
    sums = {
        "mlapi_batch_texts_count": 2.0,
        "mlapi_batch_texts_sum": 3.0,
        "mlapi_inference_duration_seconds_count": 2.0,
        "mlapi_inference_duration_seconds_sum": 0.75,
        "mlapi_inference_seconds_total": 0.75,
        "mlapi_queue_wait_seconds_count": 3.0,
        "mlapi_queue_wait_seconds_sum": 0.5,
        "mlapi_queue_tokens": 0.0,
    }
    assert {name: bench.sample(name) for name in sums} == sums
    assert bench.sample("mlapi_batch_tokens_sum", kind="real") == 18.0
    assert bench.sample("mlapi_batch_tokens_sum", kind="padded") == 24.0


async def test_the_drain_rate_is_learnt_from_runs_under_load() -> None:
    bench = Bench(max_batch_tokens=8, rate=100.0)
    bench.batcher.submit([text(8) for _ in range(60)], deadline=bench.clock.now + 1e6)
    for number in range(50):
        call = await bench.model.call(number)
        bench.clock.now += 1.0
        call.finish()
    await bench.model.call(50)
    assert bench.admission.rate == pytest.approx(8.0, rel=0.5)


async def test_a_request_that_turns_out_to_be_too_much_is_given_up_as_soon_as_that_is_known() -> None:
    bench = Bench(max_batch_tokens=8, rate=1000.0)
    futures = bench.batcher.submit([text(8) for _ in range(1000)], deadline=bench.clock.now + 10.0)
    (await bench.model.call(0)).finish()
    call = await bench.model.call(1)
    bench.clock.now += 5.0
    call.finish()
    await settle()
    assert [type(future.exception()) for future in futures[2:]] == [OverloadedError] * 998
    assert (len(bench.model.calls), bench.admission.waiting_tokens) == (2, 0)
    assert bench.sample("mlapi_shed_total", reason="deadline") == 1.0


def test_it_runs_on_uvloop() -> None:
    async def scenario() -> list[Scored]:
        bench = Bench(streams=2)
        futures = bench.batcher.submit([text(8, 1), text(16, 2)], deadline=bench.later)
        for number in range(2):
            (await bench.model.call(number)).finish()
        answers = await asyncio.gather(*futures)
        await bench.batcher.close(timeout_s=60.0)
        return answers

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [answer.scores for answer in runner.run(scenario())] == [(1.0, 8.0), (2.0, 16.0)]


async def test_rest_after_much_work_is_told_once_when_nothing_is_left_to_do() -> None:
    bench = Bench(max_batch_tokens=8_000)
    futures = bench.batcher.submit([text(8) for _ in range(1_000)], deadline=bench.later)
    last = bench.batcher.submit([text(8)], deadline=bench.later)
    await settle()
    bench.model.calls[0].finish()
    await settle()
    assert bench.rests == 0, "the last text is still being scored"
    bench.model.calls[1].finish()
    await asyncio.gather(*futures, *last)
    await settle()
    assert bench.rests == 1
    bench.batcher.submit([text(8)], deadline=bench.later)
    await settle()
    bench.model.calls[2].finish()
    await settle()
    assert bench.rests == 1, "that was little"


async def test_work_that_was_withdrawn_or_refused_counts_as_well() -> None:
    bench = Bench(max_waiting_tokens=16_000)
    for future in bench.batcher.submit([text(8) for _ in range(1_000)], deadline=bench.later):
        future.cancel()
    await settle()
    assert bench.rests == 1
    with pytest.raises(BatchTooLargeError):
        bench.batcher.submit([text(8) for _ in range(3_000)], deadline=bench.later)
    assert bench.rests == 2
