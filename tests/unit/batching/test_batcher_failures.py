"""What becomes of texts when the model fails or the process stops."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mlapi.batching.batcher import Scored
from mlapi.errors import DeadlineExceededError, DrainingError, EngineError
from mlapi.predictions import EncodedText
from tests.unit.batching.fakes import Bench, scores, settle, text

POISON = 13
Answer = list[tuple[float, ...]]


class PoisonedModel:
    """Fails on every batch that holds the poisonous text, and counts how often it saw each text."""

    def __init__(self, failure: Callable[[Sequence[EncodedText]], Answer]) -> None:
        self.batches: list[list[int]] = []
        self._failure = failure

    async def __call__(self, texts: Sequence[EncodedText], _: int) -> Answer:
        self.batches.append([one.ids[0] for one in texts])
        return self._failure(texts) if POISON in self.batches[-1] else [scores(one) for one in texts]


def breaks(_: Sequence[EncodedText]) -> Answer:
    msg = "secret address 0xdeadbeef"
    raise RuntimeError(msg)


def too_few(texts: Sequence[EncodedText]) -> Answer:
    return [scores(one) for one in texts[1:]]


def too_many(texts: Sequence[EncodedText]) -> Answer:
    return [scores(one) for one in [*texts, *texts]]


def poisoned(failure: Callable[[Sequence[EncodedText]], Answer]) -> tuple[Bench, PoisonedModel]:
    model = PoisonedModel(failure)
    return Bench(run=model), model


@pytest.mark.parametrize("failure", [breaks, too_few, too_many])
async def test_a_text_that_breaks_the_model_fails_alone(failure: Callable[[Sequence[EncodedText]], Answer]) -> None:
    bench, model = poisoned(failure)
    futures = bench.batcher.submit([text(8, tag) for tag in (1, POISON, 2)], deadline=bench.later)
    one, poison, two = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(poison, EngineError)
    assert not isinstance(one, BaseException)
    assert not isinstance(two, BaseException)
    assert (one.scores, two.scores) == ((1.0, 8.0), (2.0, 8.0))
    assert model.batches == [[1, POISON, 2], [1], [POISON], [2]]


async def test_a_failure_names_its_cause_to_the_log_and_not_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    bench, _ = poisoned(breaks)
    poison, _ = bench.batcher.submit([text(8, POISON), text(8)], deadline=bench.later)
    with pytest.raises(EngineError) as caught:
        await poison
    assert "secret" not in caught.value.detail
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "secret address" in caplog.text


async def test_a_failed_batch_leaves_the_stream_working_and_the_count_right() -> None:
    bench, _ = poisoned(breaks)
    rate = bench.admission.rate
    (poison,) = bench.batcher.submit([text(8, POISON)], deadline=bench.later)
    with pytest.raises(EngineError):
        await poison
    (after,) = bench.batcher.submit([text(8, 1)], deadline=bench.later)
    assert (await after).scores == (1.0, 8.0)
    assert (bench.admission.waiting_tokens, bench.admission.rate) == (0, rate)
    assert bench.sample("mlapi_batch_texts_count") == 2.0


async def test_a_text_that_nobody_wants_any_more_is_not_tried_again() -> None:
    bench = Bench()
    cancelled, kept = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)
    call = await bench.model.call(0)
    cancelled.cancel()
    call.answer.set_exception(RuntimeError())
    retry = await bench.model.call(1)
    assert retry.tags == [2]
    retry.finish()
    assert (await kept).scores == (2.0, 8.0)


async def test_a_text_whose_deadline_has_passed_is_not_tried_again() -> None:
    bench = Bench()
    futures = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.clock.now + 1.0)
    call = await bench.model.call(0)
    bench.clock.now += 1.0
    call.answer.set_exception(RuntimeError())
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineExceededError] * 2
    assert len(bench.model.calls) == 1


async def test_closing_finishes_what_is_queued_and_takes_nothing_more() -> None:
    bench = Bench(max_batch_tokens=8)
    futures = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)
    first = await bench.model.call(0)
    closing = asyncio.create_task(bench.batcher.close(timeout_s=60.0))
    await settle()
    with pytest.raises(DrainingError):
        bench.batcher.submit([text(8, 3)], deadline=bench.later)
    first.finish()
    (await bench.model.call(1)).finish()
    await closing
    assert [future.result().scores for future in futures] == [(1.0, 8.0), (2.0, 8.0)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_waits_for_streams_that_it_did_not_see_start() -> None:
    bench = Bench(max_batch_tokens=8, streams=2)
    futures = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)

    async def finish_one_after_the_other() -> None:
        for number in range(2):
            (await bench.model.call(number)).finish()
            await settle()

    finishing = asyncio.create_task(finish_one_after_the_other())
    await bench.batcher.close(timeout_s=60.0)
    assert [future.result().scores for future in futures] == [(1.0, 8.0), (2.0, 8.0)]
    await finishing


async def test_closing_an_idle_batcher_is_immediate_and_may_be_repeated() -> None:
    bench = Bench()
    await bench.batcher.close(timeout_s=60.0)
    await bench.batcher.close(timeout_s=60.0)
    with pytest.raises(DrainingError):
        bench.batcher.submit([text(8)], deadline=bench.later)


async def test_closing_fails_what_is_not_done_in_time() -> None:
    bench = Bench(max_batch_tokens=8, streams=2)
    futures = bench.batcher.submit([text(8, tag) for tag in range(4)], deadline=bench.later)
    await bench.model.call(1)
    await bench.batcher.close(timeout_s=0.0)
    assert [type(future.exception()) for future in futures] == [DrainingError] * 4
    assert len(bench.model.calls) == 2
    assert bench.admission.waiting_tokens == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_before_the_first_turn_of_the_loop_leaves_nobody_waiting() -> None:
    bench = Bench()
    futures = bench.batcher.submit([text(8)], deadline=bench.later)
    await bench.batcher.close(timeout_s=0.0)
    assert isinstance(futures[0].exception(), DrainingError)


async def test_a_retry_that_closing_interrupts_fails_too() -> None:
    bench = Bench()
    futures = bench.batcher.submit([text(8, 1), text(8, 2)], deadline=bench.later)
    (await bench.model.call(0)).answer.set_exception(RuntimeError())
    await bench.model.call(1)
    await bench.batcher.close(timeout_s=0.0)
    assert [type(future.exception()) for future in futures] == [DrainingError] * 2


async def test_a_run_that_is_cancelled_under_the_batcher_leaves_nobody_waiting() -> None:
    bench = Bench()
    futures = bench.batcher.submit([text(8, 1), text(8, 2), text(16, 3)], deadline=bench.later)
    (await bench.model.call(0)).answer.cancel()
    (await bench.model.call(1)).finish()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [DrainingError, DrainingError, Scored]


async def test_failures_that_nobody_looks_at_raise_no_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    bench, model = poisoned(breaks)
    bench.batcher.submit([text(8, POISON), text(8, 1)], deadline=bench.later)
    bench.batcher.submit([text(16)], deadline=bench.clock.now + 1.0)
    bench.clock.now += 1.0
    await bench.batcher.close(timeout_s=60.0)
    held = Bench()
    held.batcher.submit([text(8)], deadline=held.later)
    await held.batcher.close(timeout_s=0.0)
    gc.collect()
    await settle()
    assert complaints == []
    assert model.batches == [[POISON, 1], [POISON], [1]]
