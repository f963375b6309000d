"""The executor pads, warms up, verifies batch invariance, and never passes on what is not finite."""

import asyncio
import itertools
import logging
import queue
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from mlapi.batching.buckets import bucket_lengths
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.engines.executor import EngineExecutor
from mlapi.engines.fake import FakeEngine
from mlapi.errors import EngineError
from mlapi.predictions import EncodedText

LENGTHS = (8, 16, 24, 32)


class SpyEngine(FakeEngine):
    """Remembers the shapes it was called with."""

    def __init__(self) -> None:
        super().__init__(labels=2)
        self.shapes: list[tuple[int, ...]] = []
        self.padding: set[int] = set()

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        self.shapes.append(ids.shape)
        self.padding |= set(ids[mask == 0].tolist())
        return super().infer(ids, mask)


class NeighbourEngine(SpyEngine):
    """Scores a text differently when others are in its batch, as engines with per-tensor quantisation do."""

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        return super().infer(ids, mask) + np.float32(ids.sum() * 1e-6)


class BrokenEngine:
    """Answers with whatever it is given."""

    identity = EngineIdentity("broken", "1", "fp32", "fp32", "any")
    streams = 1
    batch_tokens = 64
    split_tokens = 64
    warm_tokens = 64
    batch_invariant = True
    trial_tokens = 0
    quick_tokens = 0

    def __init__(self, answer: Logits | Exception) -> None:
        self.answer = answer

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        del ids, mask
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        """Nothing is held."""


def executor(engine: FakeEngine | BrokenEngine, tidy: Callable[[], None] = lambda: None) -> EngineExecutor:
    seconds = itertools.count()
    return EngineExecutor(engine, pad_id=9, clock=lambda: float(next(seconds)), seed=1, tidy=tidy)


def text(*ids: int) -> EncodedText:
    return EncodedText(ids, truncated=False)


async def test_texts_are_padded_to_the_length_asked_for() -> None:
    engine = SpyEngine()
    runs = executor(engine)
    runs.warm_up(LENGTHS)
    engine.shapes.clear()
    scores = await runs.run([text(1, 2, 3), text(4)], 8)
    assert engine.shapes == [(2, 8)]
    assert engine.padding == {9}
    assert [len(row) for row in scores] == [2, 2]


async def test_the_warm_up_runs_every_length_that_the_engine_wants_warm() -> None:
    engine = SpyEngine()
    executor(engine).warm_up(bucket_lengths(512))
    alone = {length for rows, length in engine.shapes if rows == 1}
    assert alone == {*range(8, 129, 8)}


class StreamsEngine(SpyEngine):
    """Remembers which thread ran what, and may score differently on one of them."""

    def __init__(self, odd: str = "") -> None:
        super().__init__()
        self.streams = 2
        self.runs: set[tuple[str, tuple[int, ...]]] = set()
        self.odd = odd

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        thread = threading.current_thread().name
        self.runs.add((thread, ids.shape))
        return super().infer(ids, mask) + np.float32(thread == self.odd)


async def test_every_stream_is_warmed_and_checked() -> None:
    engine = StreamsEngine()
    assert executor(engine).warm_up(bucket_lengths(512)).together_tokens == sys.maxsize
    batches = {shape for _, shape in engine.runs if shape[0] > 1}
    for shape in {(1, 8), (1, 16), (1, 128)} | batches:
        assert {f"engine_{number}" for number in range(2)} <= {thread for thread, run in engine.runs if run == shape}


@pytest.mark.parametrize("odd", ["engine_0", "engine_1"])
async def test_a_stream_that_scores_differently_is_noticed(odd: str) -> None:
    assert executor(StreamsEngine(odd)).warm_up(LENGTHS).together_tokens == 0


async def test_batches_of_several_sizes_are_checked() -> None:
    engine = SpyEngine()
    executor(engine).warm_up(bucket_lengths(512))
    assert {rows for rows, length in engine.shapes if length == 8} >= {1, 3, 5, 9, 17, 32}


async def test_a_warm_up_without_any_such_length_runs_the_shortest() -> None:
    engine = SpyEngine()
    executor(engine).warm_up([256, 512])
    assert (1, 256) in engine.shapes


async def test_what_preparing_kernels_leaves_behind_is_returned_once_a_length() -> None:
    engine = SpyEngine()
    tidied: list[tuple[int, ...]] = []
    runs = executor(engine, tidy=lambda: tidied.append(engine.shapes[-1]))
    runs.warm_up(LENGTHS)
    tidied.clear()
    for padded in (LENGTHS[0], 200, 200, 208, LENGTHS[-1], 208):
        await runs.run([text(1, 2, 3)], padded)
    assert tidied == [(1, 200), (1, 208)]


async def test_memory_is_returned_a_while_after_much_work_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlapi.engines.executor._SETTLE_S", 0.0)
    tidied: queue.SimpleQueue[str] = queue.SimpleQueue()
    runs = executor(SpyEngine(), tidy=lambda: tidied.put(threading.current_thread().name))
    runs.settle()
    runs.settle()
    assert (await asyncio.to_thread(tidied.get, timeout=10)).startswith("engine")
    assert tidied.empty()


async def test_nothing_is_returned_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlapi.engines.executor._SETTLE_S", 0.0)
    loop, faults = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    runs = executor(SpyEngine())
    runs.settle()
    runs.close()
    later = loop.create_future()
    loop.call_later(0.01, later.set_result, None)
    await later
    assert faults == []


class ThresholdEngine(SpyEngine):
    """Depends on the batch from so many rows and tokens on, as libraries do that choose kernels by size."""

    def __init__(self, rows: int, tokens: int) -> None:
        super().__init__()
        self.rows, self.tokens = rows, tokens

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        changed = len(ids) >= self.rows and ids.size >= self.tokens
        return super().infer(ids, mask) + np.float32(changed * 1e-6)


@pytest.mark.parametrize(("rows", "tokens"), [(2, 0), (8, 0), (32, 0), (2, 100), (2, 256)])
async def test_kernels_that_change_with_the_number_of_rows_or_tokens_are_noticed(rows: int, tokens: int) -> None:
    assert executor(ThresholdEngine(rows, tokens)).warm_up(bucket_lengths(512)).together_tokens == 0


async def test_the_check_takes_a_fraction_of_what_it_stands_for() -> None:
    engine = SpyEngine()
    executor(engine).warm_up(bucket_lengths(512))
    assert sum(rows * length for rows, length in engine.shapes) < sum(bucket_lengths(512)) / 2


class OneShapeEngine(SpyEngine):
    """Scores differently in batches of one shape alone."""

    batch_tokens = 512

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.odd = shape

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        return super().infer(ids, mask) + np.float32((ids.shape == self.odd) * 1e-6)


def found_by_start(number: int, shape: tuple[int, int]) -> bool:
    runs = EngineExecutor(OneShapeEngine(shape), pad_id=9, clock=lambda: 0.0, seed=number, tidy=lambda: None)
    return runs.warm_up(bucket_lengths(512)).together_tokens == 0


@pytest.mark.parametrize("shape", [(32, 8), (17, 8)])
async def test_every_start_checks_what_is_likely_to_differ(shape: tuple[int, int]) -> None:
    assert all(found_by_start(number, shape) for number in range(5))


@pytest.mark.parametrize("shape", [(2, 256), (7, 72), (64, 8), (2, 8)])
async def test_starts_check_every_other_shape_in_turn(shape: tuple[int, int]) -> None:
    assert 0 < sum(found_by_start(number, shape) for number in range(600)) < 60


class NarrowEngine(ThresholdEngine):
    """Claims nothing, but may keep its bits up to 64 tokens."""

    batch_invariant = False
    trial_tokens = 64


@pytest.mark.parametrize(("rows", "tokens", "together"), [(9, 0, 64), (2, 65, 64), (2, 0, 0), (8, 64, 0)])
async def test_an_engine_that_claims_nothing_is_tried_with_small_batches(rows: int, tokens: int, together: int) -> None:
    engine = NarrowEngine(rows, tokens)
    runs = executor(engine)
    assert runs.warm_up(bucket_lengths(512)).together_tokens == together
    engine.shapes.clear()
    texts = [text(*range(1, 20 + number % 5)) for number in range(7)]
    scores = await runs.run(texts, 24)
    assert engine.shapes == ([(2, 24), (2, 24), (2, 24), (1, 24)] if together else [(1, 24)] * 7)
    assert scores == [(await runs.run([each], 24))[0] for each in texts]


async def test_a_text_longer_than_what_may_be_together_is_computed_alone() -> None:
    engine = NarrowEngine(9, 0)
    runs = executor(engine)
    runs.warm_up(bucket_lengths(512))
    engine.shapes.clear()
    assert len(await runs.run([text(*range(100)), text(*range(99))], 104)) == 2
    assert engine.shapes == [(1, 104), (1, 104)]


async def test_the_warm_up_measures() -> None:
    engine = SpyEngine()
    found = executor(engine).warm_up(LENGTHS)
    assert {length for _, length in engine.shapes} == set(LENGTHS)
    assert found.together_tokens == sys.maxsize
    assert found.tokens_per_second == sum(LENGTHS)


async def test_an_engine_that_depends_on_neighbours_computes_texts_singly_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = NeighbourEngine()
    runs = executor(engine)
    with caplog.at_level(logging.WARNING):
        found = runs.warm_up(LENGTHS)
    assert found.together_tokens == 0
    assert "one by one" in caplog.text
    engine.shapes.clear()
    together = await runs.run([text(1, 2), text(5000, 6000)], 8)
    assert engine.shapes == [(1, 8), (1, 8)]
    assert together == await runs.run([text(1, 2)], 8) + await runs.run([text(5000, 6000)], 8)


@pytest.mark.parametrize(
    "answer",
    [
        np.full((1, 2), np.nan, dtype=np.float32),
        np.full((1, 2), np.inf, dtype=np.float32),
        np.zeros((2, 2), dtype=np.float32),
        np.zeros(2, dtype=np.float32),
        RuntimeError("secret path /models/x"),
    ],
    ids=["nan", "inf", "rows", "shape", "raises"],
)
async def test_no_answer_that_is_not_finite_gets_out(answer: Logits | Exception) -> None:
    with pytest.raises(EngineError) as failed:
        await executor(BrokenEngine(answer)).run([text(1)], 8)
    assert "secret" not in failed.value.detail


async def test_what_is_quicker_than_a_thread_is_computed_on_the_loop_and_gives_way_to_others() -> None:
    class QuickEngine(FakeEngine):
        quick_tokens = 16

        def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
            threads_used.append(threading.get_ident())
            return super().infer(ids, mask)

    threads_used: list[int] = []
    runs = executor(QuickEngine(labels=2))
    runs.warm_up(LENGTHS)
    threads_used.clear()
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another's turn")
    few = await runs.run([text(1), text(2)], 8)
    assert turns == ["another's turn"]
    many = await runs.run([text(1), text(2), text(3)], 8)
    assert many[:2] == few
    assert [used == threading.get_ident() for used in threads_used] == [True, False]
    runs.close()
