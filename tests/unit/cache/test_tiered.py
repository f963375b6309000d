"""Two tiers as one: which is asked, what moves up."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from mlapi.cache.tiered import TieredStore
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Found, Prediction
from tests.stores import find, memory_store, operations, prediction, texts

A, B, C = texts(3)
FOUND = prediction()


class SecondTier:
    """A store that remembers what it was asked for."""

    def __init__(self, *held: bytes) -> None:
        self.held = dict.fromkeys(held, FOUND)
        self.asked: list[list[bytes]] = []
        self.open = True
        self.skipped = 0
        self.closed = False

    def may_ask(self) -> bool:
        return self.open

    def skip(self, texts: int) -> None:
        self.skipped += texts

    def request(self, digests: Sequence[bytes], deliver: Callable[[list[Prediction | None]], None]) -> None:
        self.asked.append(list(digests))
        asyncio.get_running_loop().call_soon(lambda: deliver([self.held.get(digest) for digest in digests]))

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> set[bytes]:
        if not self.open:
            return set(predictions)
        self.held.update(predictions)
        return set()

    async def close(self) -> None:
        self.closed = True


async def test_l2_is_not_asked_for_what_is_held_or_being_computed() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    assert not store.look_up([A, B], print, in_flight=frozenset({B}))
    assert second.asked == []


async def test_what_l2_holds_moves_up() -> None:
    store = TieredStore(memory_store(Metrics()), SecondTier(A))
    assert await find(store, [A, B]) == Found([None, None], [FOUND, None])
    assert store.held([A, B]) == Found([FOUND, None])


async def test_without_the_wish_to_store_nothing_moves_up() -> None:
    store = TieredStore(memory_store(Metrics()), SecondTier(A))
    assert await find(store, [A], keep=False) == Found([None], [FOUND])
    assert store.held([A]) == Found([None])


async def test_a_look_up_counts_each_text_once() -> None:
    metrics = Metrics()
    store = TieredStore(memory_store(metrics), SecondTier(B))
    await store.put_many({A: FOUND})
    await find(store, [A, B, C])
    assert operations(metrics, "l1", "get") == {"hit": 1, "miss": 2}


async def test_a_text_that_is_being_computed_is_left_out() -> None:
    second = SecondTier(A, B)
    store = TieredStore(memory_store(Metrics()), second)
    found: list[Found] = []
    assert store.look_up([A, B, A], found.append, in_flight=frozenset({B}))
    await asyncio.sleep(0)
    assert second.asked == [[A, A]]
    assert found == [Found([None] * 3, [FOUND, None, FOUND])]


async def test_l2_is_not_asked_for_nothing() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    found: list[Found] = []
    assert store.look_up([A, A], found.append)
    assert found == [], "never synchronously"
    await asyncio.sleep(0)
    assert (found, second.asked) == ([Found([FOUND, FOUND], [None, None])], [])


async def test_predictions_are_stored_in_both_tiers() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    assert store.held([A]).l1 == [FOUND]
    assert second.held == {A: FOUND}


@pytest.mark.parametrize(
    ("l1_bytes", "l2_takes", "unkept"),
    [(1 << 20, True, set()), (1 << 20, False, set()), (0, True, set()), (0, False, {A, B})],
)
async def test_what_neither_tier_keeps_is_told(l1_bytes: int, l2_takes: bool, unkept: set[bytes]) -> None:  # noqa: FBT001
    second = SecondTier()
    second.open = l2_takes
    store = TieredStore(memory_store(Metrics(), max_bytes=l1_bytes), second)
    assert await store.put_many({A: FOUND, B: FOUND}) == unkept


async def test_without_l2_there_is_l1() -> None:
    store = TieredStore(memory_store(Metrics()), None)
    await store.put_many({A: FOUND})
    assert await find(store, [A, B]) == Found([FOUND, None])
    await store.close()


async def test_what_is_no_prediction_reaches_neither_tier() -> None:
    store = TieredStore(memory_store(Metrics()), None)
    wrong = Prediction((float("nan"), 0.5), "NEGATIVE", 1, truncated=False)
    with pytest.raises(ValueError, match="not finite"):
        await store.put_many({A: wrong})
    assert store.held([A]).l1 == [None]


async def test_closing_closes_l2_and_leaves_l1_to_the_other_models() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    await store.close()
    assert second.closed
    assert store.held([A]).l1 == [FOUND]


async def test_a_request_tells_what_each_tier_holds_and_moves_it_up() -> None:
    metrics = Metrics()
    memory, second = memory_store(metrics), SecondTier(B)
    memory.put(A, FOUND)
    store = TieredStore(memory, second)
    found: list[Found] = []
    assert store.look_up([A, B, C, B], found.append)
    assert (second.asked, found) == ([[B, C, B]], [])
    await asyncio.sleep(0)
    assert found == [Found([FOUND, None, None, None], [None, FOUND, None, FOUND])]
    assert operations(metrics, "l1", "get") == {"hit": 1, "miss": 3}
    assert store.held([B]).l1 == [FOUND]


@pytest.mark.parametrize("second", [None, SecondTier(A)])
def test_a_second_tier_that_is_not_to_be_asked_is_not_and_nothing_is_counted(second: SecondTier | None) -> None:
    metrics = Metrics()
    if second is not None:
        second.open = False
    found: list[Found] = []
    assert not TieredStore(memory_store(metrics), second).look_up([A], found.append)
    assert found == []
    assert operations(metrics, "l1", "get") == {}


def test_l1_tells_of_all_texts_or_of_none() -> None:
    metrics = Metrics()
    memory = memory_store(metrics)
    store = TieredStore(memory, None)
    memory.put(A, FOUND)
    assert store.known([A, B]) is None
    assert operations(metrics, "l1", "get") == {}
    memory.put(B, FOUND)
    assert store.known([A, B, A]) == [FOUND] * 3
    assert operations(metrics, "l1", "get") == {"hit": 3}
