"""What every store of predictions does, whichever tier it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from mlapi.cache.base import Store
from mlapi.cache.tiered import TieredStore
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from tests.stores import POSTPROCESSOR, RANKED, float32, memory_store, prediction, redis_store, texts

A, B, C = texts(3)


@dataclass(frozen=True)
class Subject:
    """A store, and how to wait until what was put into it can be read from it."""

    store: Store
    flush: Callable[[], Awaitable[None]]

    async def put(self, predictions: dict[bytes, Prediction]) -> None:
        await self.store.put_many(predictions)
        await self.flush()


async def at_once() -> None:
    """Wait for nothing."""


@pytest.fixture(params=["memory", "redis", "tiered", "tiered, L1 off"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    metrics = Metrics()
    if request.param == "memory":
        memory = memory_store(metrics, max_bytes=1 << 22)
        yield Subject(memory, at_once)
        await memory.close()
        return
    redis = redis_store(request.getfixturevalue("redis_server").url, metrics)
    memory = memory_store(metrics, max_bytes=0 if "off" in request.param else 1 << 22)
    store: Store = redis if request.param == "redis" else TieredStore(memory, redis)
    yield Subject(store, redis.flush)
    await store.close()


async def test_what_was_never_stored_is_not_found(subject: Subject) -> None:
    assert await subject.store.get_many([A, B]) == [None, None]


async def test_what_was_stored_is_found_byte_for_byte(subject: Subject) -> None:
    stored = {
        A: prediction(0.9987654321),
        B: POSTPROCESSOR.prediction((float32(1 / 3), float32(2 / 3)), tokens=512, truncated=True),
        C: POSTPROCESSOR.prediction((0.0, 1.0), tokens=2, truncated=False),
    }
    await subject.put(stored)
    found = await subject.store.get_many([A, B, C])
    assert found == list(stored.values())
    assert [hit and RANKED.all(hit) for hit in found] == [RANKED.all(original) for original in stored.values()]


async def test_answers_come_in_the_order_asked_for_with_gaps_and_repetitions(subject: Subject) -> None:
    await subject.put({A: prediction(0.25), C: prediction(0.75)})
    found = await subject.store.get_many([C, B, A, C])
    assert found == [prediction(0.75), None, prediction(0.25), prediction(0.75)]


async def test_storing_again_replaces(subject: Subject) -> None:
    await subject.put({A: prediction(0.25)})
    await subject.put({A: prediction(0.75)})
    assert await subject.store.get_many([A]) == [prediction(0.75)]


async def test_nothing_asked_is_nothing_found_and_nothing_stored_is_no_matter(subject: Subject) -> None:
    await subject.put({})
    assert await subject.store.get_many([]) == []


async def test_thousands_of_texts_are_stored_and_found(subject: Subject) -> None:
    stored = {digest: prediction(number / 3000) for number, digest in enumerate(texts(3000))}
    await subject.put(stored)
    assert await subject.store.get_many(list(stored)) == list(stored.values())


@pytest.mark.parametrize("logit", [float("nan"), float("inf"), float("-inf")])
async def test_what_is_not_finite_is_refused_and_not_stored(subject: Subject, logit: float) -> None:
    wrong = Prediction((logit, 0.5), "NEGATIVE", 7, truncated=False)
    with pytest.raises(ValueError, match="not finite"):
        await subject.store.put_many({A: wrong})
    assert await subject.store.get_many([A]) == [None]


async def test_a_closed_store_finds_nothing_and_closes_again(subject: Subject) -> None:
    await subject.put({A: prediction()})
    await subject.store.close()
    assert await subject.store.get_many([A]) == [None]
    await subject.store.close()
