"""Two tiers as one: which is asked, what moves up."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from mlapi.cache.tiered import TieredStore
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Findings, Prediction
from tests.stores import memory_store, operations, prediction, texts

A, B, C = texts(3)
FOUND = prediction()


class SecondTier:
    """A store that remembers what it was asked for."""

    def __init__(self, *held: bytes) -> None:
        self.held = dict.fromkeys(held, FOUND)
        self.asked: list[list[bytes]] = []
        self.pending: list[Callable[[], None]] = []
        self.open = True
        self.closed = False

    async def get_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        self.asked.append(list(digests))
        return [self.held.get(digest) for digest in digests]

    def may_ask(self) -> bool:
        return self.open

    def request(self, digests: Sequence[bytes], deliver: Callable[[list[Prediction | None]], None]) -> None:
        self.asked.append(list(digests))
        self.pending.append(lambda: deliver([self.held.get(digest) for digest in digests]))

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> set[bytes]:
        if not self.open:
            return set(predictions)
        self.held.update(predictions)
        return set()

    async def close(self) -> None:
        self.closed = True


async def test_l2_is_not_asked_for_nothing() -> None:
    second = SecondTier()
    assert await TieredStore(memory_store(Metrics()), second).fetch_many([]) == []
    assert second.asked == []


async def test_what_l2_holds_moves_up() -> None:
    store = TieredStore(memory_store(Metrics()), SecondTier(A))
    assert store.peek_many([A]) == [None]
    assert await store.fetch_many([A, B]) == [FOUND, None]
    assert store.peek_many([A, B]) == [FOUND, None]


async def test_without_the_wish_to_store_nothing_moves_up() -> None:
    store = TieredStore(memory_store(Metrics()), SecondTier(A))
    assert await store.fetch_many([A], store=False) == [FOUND]
    assert store.peek_many([A]) == [None]


async def test_peeking_and_fetching_the_rest_counts_each_text_once() -> None:
    metrics = Metrics()
    store = TieredStore(memory_store(metrics), SecondTier(B))
    await store.put_many({A: FOUND})
    held = store.peek_many([A, B, C])
    await store.fetch_many([digest for digest, found in zip([A, B, C], held, strict=True) if found is None])
    assert operations(metrics, "l1", "get") == {"hit": 1, "miss": 2}


async def test_predictions_are_stored_in_both_tiers() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    assert store.peek_many([A]) == [FOUND]
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
    assert store.peek_many([A, B]) == [FOUND, None]
    assert await store.fetch_many([A, B]) == [None, None]
    await store.close()


async def test_what_is_no_prediction_reaches_neither_tier() -> None:
    store = TieredStore(memory_store(Metrics()), None)
    wrong = Prediction((float("nan"), 0.5), "NEGATIVE", 1, truncated=False)
    with pytest.raises(ValueError, match="not finite"):
        await store.put_many({A: wrong})
    assert store.peek_many([A]) == [None]


async def test_closing_closes_both() -> None:
    second = SecondTier()
    store = TieredStore(memory_store(Metrics()), second)
    await store.put_many({A: FOUND})
    await store.close()
    assert second.closed
    assert store.peek_many([A]) == [None]


def test_a_request_tells_what_each_tier_holds_and_moves_it_up() -> None:
    metrics = Metrics()
    memory, second = memory_store(metrics), SecondTier(B)
    memory.put(A, FOUND)
    store = TieredStore(memory, second)
    findings: list[Findings] = []
    assert store.request([A, B, C, B], findings.append)
    assert (second.asked, findings) == ([[B, C, B]], [])
    second.pending.pop()()
    assert findings == [Findings([FOUND, None, None, None], [None, FOUND, None, FOUND])]
    assert operations(metrics, "l1", "get") == {"hit": 1, "miss": 3}
    assert store.peek_many([B]) == [FOUND]


@pytest.mark.parametrize("second", [None, SecondTier(A)])
def test_a_second_tier_that_is_not_to_be_asked_is_not_and_nothing_is_counted(second: SecondTier | None) -> None:
    metrics = Metrics()
    if second is not None:
        second.open = False
    findings: list[Findings] = []
    assert not TieredStore(memory_store(metrics), second).request([A], findings.append)
    assert findings == []
    assert operations(metrics, "l1", "get") == {}


def test_l1_tells_of_all_texts_or_of_none() -> None:
    metrics = Metrics()
    memory = memory_store(metrics)
    store = TieredStore(memory, None)
    memory.put(A, FOUND)
    assert store.peek_all([A, B]) is None
    assert operations(metrics, "l1", "get") == {}
    memory.put(B, FOUND)
    assert store.peek_all([A, B, A]) == [FOUND] * 3
    assert operations(metrics, "l1", "get") == {"hit": 3}
