"""What every store of predictions does, whichever tier it is, as the predictor uses it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import pytest

from mlapi.cache.l1 import MemoryStore
from mlapi.cache.l2 import RedisStore
from mlapi.cache.tiered import TieredStore
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from tests.stores import POSTPROCESSOR, RANKED, fetch, find, float32, memory_store, prediction, redis_store, texts

A, B, C = texts(3)


class Subject(Protocol):
    """A store of which can be read what was put into it."""

    async def get(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what is stored, in the order asked for."""

    async def put(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Store predictions, and wait until they can be read."""

    async def close(self) -> None:
        """Close it."""


class Memory:
    """L1 alone."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.close = store.close

    async def get(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        return self._store.lookup(digests)

    async def put(self, predictions: Mapping[bytes, Prediction]) -> None:
        assert self._store.put_many(predictions) == set()


class Shared:
    """L2 alone."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.close = store.close

    async def get(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        return await fetch(self._store, digests)

    async def put(self, predictions: Mapping[bytes, Prediction]) -> None:
        assert await self._store.put_many(predictions) == set()
        await self._store.flush()


class Both:
    """L1 first, then L2 for the rest."""

    def __init__(self, memory: MemoryStore, redis: RedisStore) -> None:
        self._store = TieredStore(memory, redis)
        self._memory = memory
        self._redis = redis

    async def close(self) -> None:
        await self._store.close()
        await self._memory.close()

    async def get(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        found = await find(self._store, digests)
        return [own or other for own, other in zip(found.l1, found.l2 or found.l1, strict=True)]

    async def put(self, predictions: Mapping[bytes, Prediction]) -> None:
        assert await self._store.put_many(predictions) == set()
        await self._redis.flush()


@pytest.fixture(params=["memory", "redis", "tiered", "tiered, L1 off"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    metrics = Metrics()
    memory = memory_store(metrics, max_bytes=0 if "off" in request.param else 1 << 22)
    if request.param == "memory":
        yield Memory(memory)
        await memory.close()
        return
    redis = redis_store(request.getfixturevalue("redis_server").url, metrics)
    store: Subject = Shared(redis) if request.param == "redis" else Both(memory, redis)
    yield store
    await store.close()


async def test_what_was_never_stored_is_not_found(subject: Subject) -> None:
    assert await subject.get([A, B]) == [None, None]


async def test_what_was_stored_is_found_byte_for_byte(subject: Subject) -> None:
    stored = {
        A: prediction(0.9987654321),
        B: POSTPROCESSOR.prediction((float32(1 / 3), float32(2 / 3)), tokens=512, truncated=True),
        C: POSTPROCESSOR.prediction((0.0, 1.0), tokens=2, truncated=False),
    }
    await subject.put(stored)
    found = await subject.get([A, B, C])
    assert found == list(stored.values())
    assert [hit and RANKED.all(hit) for hit in found] == [RANKED.all(original) for original in stored.values()]


async def test_answers_come_in_the_order_asked_for_with_gaps_and_repetitions(subject: Subject) -> None:
    await subject.put({A: prediction(0.25), C: prediction(0.75)})
    found = await subject.get([C, B, A, C])
    assert found == [prediction(0.75), None, prediction(0.25), prediction(0.75)]


async def test_storing_again_replaces(subject: Subject) -> None:
    await subject.put({A: prediction(0.25)})
    await subject.put({A: prediction(0.75)})
    assert await subject.get([A]) == [prediction(0.75)]


async def test_nothing_asked_is_nothing_found_and_nothing_stored_is_no_matter(subject: Subject) -> None:
    await subject.put({})
    assert await subject.get([]) == []


async def test_thousands_of_texts_are_stored_and_found(subject: Subject) -> None:
    stored = {digest: prediction(number / 3000) for number, digest in enumerate(texts(3000))}
    await subject.put(stored)
    assert await subject.get(list(stored)) == list(stored.values())


@pytest.mark.parametrize("logit", [float("nan"), float("inf"), float("-inf")])
async def test_what_is_not_finite_is_refused_and_not_stored(subject: Subject, logit: float) -> None:
    wrong = Prediction((logit, 0.5), "NEGATIVE", 7, truncated=False)
    with pytest.raises(ValueError, match="not finite"):
        await subject.put({A: wrong})
    assert await subject.get([A]) == [None]


async def test_a_closed_store_finds_nothing_and_closes_again(subject: Subject) -> None:
    await subject.put({A: prediction()})
    await subject.close()
    assert await subject.get([A]) == [None]
    await subject.close()
