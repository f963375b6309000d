"""Puts load on an engine in this process: alone, in batches, and through the service's own batcher."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Final, TypeAlias

from benchmarks.model import LONGEST, arithmetic
from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher
from mlapi.batching.buckets import padded_length
from mlapi.engines.base import Engine
from mlapi.engines.executor import EngineExecutor
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.predictions import EncodedText

Scores: TypeAlias = list[tuple[float, ...]]

_CLOCK: Final = time.perf_counter
_MANY: Final = 2**24
_FOREVER_S: Final = 600.0
_IN_FLIGHT: Final = 2
_ORDERS: Final = 3


def _padded(text: EncodedText) -> int:
    return padded_length(len(text.ids), LONGEST)


def _batches(texts: Sequence[EncodedText], order: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the indices of texts that share a padded length, taken in some order, under a budget of tokens."""
    open_batches: dict[int, list[int]] = {}
    for index in order:
        length = _padded(texts[index])
        batch = open_batches.setdefault(length, [])
        batch.append(index)
        if (len(batch) + 1) * length > budget:
            yield open_batches.pop(length)
    yield from open_batches.values()


async def alone(executor: EngineExecutor, texts: Sequence[EncodedText]) -> Scores:
    """Score texts one by one."""
    return [(await executor.run([text], _padded(text)))[0] for text in texts]


async def moved(
    executor: EngineExecutor, budget: int, texts: Sequence[EncodedText], expected: Scores
) -> dict[str, int]:
    """Count the texts whose scores are not, to the bit, those that they have alone.

    In batches of several sizes in the order of the texts, in shuffled orders, and with several batches under way.
    """

    async def score(batch: list[int]) -> int:
        scores = await executor.run([texts[index] for index in batch], _padded(texts[batch[0]]))
        return sum(found != expected[index] for index, found in zip(batch, scores, strict=True))

    order = list(range(len(texts)))
    counts = {
        f"in batches of {size} tokens": sum([await score(batch) for batch in _batches(texts, order, size)])
        for size in (budget // 16, budget // 3, budget, 2 * budget)
    }
    for seed in range(_ORDERS):
        random.Random(seed).shuffle(order)  # noqa: S311  reproducible, not secret
        counts[f"shuffled {seed}, together"] = sum(
            await asyncio.gather(*(score(batch) for batch in _batches(texts, order, budget // (seed + 1))))
        )
    return counts


async def uniform(
    executor: EngineExecutor, budget: int, lengths: Sequence[int], seconds: float
) -> dict[int, dict[str, float]]:
    """Measure full batches of one length, two of them under way, by length."""
    found = {}
    for length in lengths:
        text = EncodedText(tuple(range(1000, 1000 + length)), truncated=False)
        batch = [text] * max(1, budget // length)
        await executor.run(batch, length)
        calls, started = 0, _CLOCK()

        async def keep_busy(batch: Sequence[EncodedText], length: int, until: float) -> int:
            count = 0
            while _CLOCK() < until:
                await executor.run(batch, length)
                count += 1
            return count

        workers = (keep_busy(batch, length, started + seconds) for _ in range(_IN_FLIGHT))
        calls = sum(await asyncio.gather(*workers))
        rate = calls * len(batch) / (_CLOCK() - started)
        found[length] = {
            "texts_per_s": rate,
            "tokens_per_s": rate * length,
            "tflops": rate * arithmetic(length, needed=False) / 1e12,
        }
    return found


def _batcher(executor: EngineExecutor, engine: Engine) -> Batcher:
    metrics = ModelMetrics(Metrics(), "project")
    return Batcher(
        executor.run,
        admission=Admission(max_waiting_tokens=_MANY, rate=1e6, clock=_CLOCK, metrics=metrics),
        bucket=partial(padded_length, max_tokens=LONGEST),
        max_batch_tokens=engine.batch_tokens,
        streams=engine.streams,
        clock=_CLOCK,
        metrics=metrics,
    )


def _summary(latencies_s: list[float], seconds: float) -> dict[str, float]:
    ordered = sorted(latencies_s)
    return {
        "texts_per_s": len(ordered) / seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


async def _ask(batcher: Batcher, source: Iterator[EncodedText], until: float) -> list[float]:
    """Be one caller: submit a text, wait for its scores, submit the next."""
    latencies = []
    while (now := _CLOCK()) < until:
        await batcher.submit([next(source)], deadline=now + _FOREVER_S)[0]
        latencies.append(_CLOCK() - now)
    return latencies


async def lone(
    executor: EngineExecutor, engine: Engine, lengths: Sequence[int], seconds: float
) -> dict[int, dict[str, float]]:
    """Measure one caller with one text at a time through the batcher, by length."""
    found = {}
    for length in lengths:
        batcher = _batcher(executor, engine)
        text = EncodedText(tuple(range(1000, 1000 + length)), truncated=False)
        started = _CLOCK()
        latencies = await _ask(batcher, cycle([text]), started + seconds)
        found[length] = _summary(latencies, _CLOCK() - started)
        await batcher.close(1.0)
    return found


async def mixed(
    executor: EngineExecutor, engine: Engine, texts: Sequence[EncodedText], callers: int, seconds: float
) -> dict[str, float]:
    """Measure so many callers with texts of mixed length, one each, through the batcher."""
    batcher, source = _batcher(executor, engine), cycle(texts)
    started = _CLOCK()
    latencies = await asyncio.gather(*(_ask(batcher, source, started + seconds) for _ in range(callers)))
    seconds = _CLOCK() - started
    await batcher.close(10.0)
    return _summary([latency for own in latencies for latency in own], seconds)
