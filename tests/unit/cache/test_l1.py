"""L1: order, age, size and numbers. What every store does is in `tests/contract/test_stores.py`."""

import tracemalloc

import pytest

from mlapi.cache.l1 import MemoryStore, cost
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from tests.stores import RANKED, Clock, digest, memory_store, operations, prediction, texts, value

ONE = cost(prediction(0.75))
LARGER = Prediction((0.25, 0.75), "A LONGER LABEL", 7, truncated=False)
A, B, C = texts(3)


def test_the_least_recently_used_goes_first() -> None:
    store = memory_store(Metrics(), max_bytes=2 * ONE)
    store.put(A, prediction(0.75))
    store.put(B, prediction(0.75))
    assert store.lookup((A,)) != [None]
    store.put(C, prediction(0.75))
    assert store.lookup((A, B, C)) == [prediction(0.75), None, prediction(0.75)]


def test_a_look_up_leaves_the_order_as_it_is_while_less_than_half_is_taken() -> None:
    store = memory_store(Metrics(), max_bytes=5 * ONE)
    others = texts(6)[3:]
    for text in (A, B):
        store.put(text, prediction(0.75))
    assert store.lookup((A,)) == store.lookup_all((A,)) == [prediction(0.75)]
    for text in (C, *others):
        store.put(text, prediction(0.75))
    assert store.lookup((A, B)) == [None, prediction(0.75)]


def test_storing_again_counts_as_use_and_replaces() -> None:
    store = memory_store(Metrics(), max_bytes=2 * ONE)
    for text, positive in ((A, 0.75), (B, 0.75), (A, 0.25), (C, 0.75)):
        store.put(text, prediction(positive))
    assert store.lookup((A, B)) == [prediction(0.25), None]
    assert len(store) == 2


def test_an_entry_ends_with_its_time_to_live_and_gives_its_bytes_back() -> None:
    clock = Clock()
    metrics = Metrics()
    store = memory_store(metrics, ttl_s=60.0, clock=clock)
    store.put(A, prediction())
    clock.now += 59.9
    assert store.lookup((A,)) == [prediction()]
    clock.now += 0.2
    assert store.lookup((A,)) == [None]
    assert (len(store), value(metrics, "mlapi_cache_bytes", tier="l1")) == (0, 0)


@pytest.mark.parametrize(("jitter", "lives_s"), [(0.0, 54.0), (0.5, 60.0), (1.0, 66.0)])
def test_times_to_live_differ_by_a_tenth_either_way(jitter: float, lives_s: float) -> None:
    clock = Clock()
    store = MemoryStore(max_bytes=1 << 20, ttl_s=60.0, clock=clock, jitter=lambda: jitter, metrics=Metrics())
    store.put(A, prediction())
    clock.now += lives_s - 0.001
    assert store.lookup((A,)) != [None]
    clock.now += 0.002
    assert store.lookup((A,)) == [None]


def test_what_exceeds_the_bound_alone_is_not_stored_and_evicts_nobody() -> None:
    metrics = Metrics()
    store = memory_store(metrics, max_bytes=ONE)
    store.put(A, prediction(0.75))
    store.put(B, LARGER)
    assert store.lookup((A, B)) == [prediction(0.75), None]
    assert operations(metrics, "l1", "set") == {"ok": 1, "skipped": 1}


def test_what_makes_room_for_others_is_counted() -> None:
    metrics = Metrics()
    store = memory_store(metrics, max_bytes=ONE)
    assert metrics.registry.get_sample_value("mlapi_cache_evictions_total", {"tier": "l1"}) == 0
    store.put(A, prediction(0.75))
    store.put(A, prediction(0.75))
    store.put(B, prediction(0.75))
    assert store.lookup((A, B)) == [None, prediction(0.75)]
    assert metrics.registry.get_sample_value("mlapi_cache_evictions_total", {"tier": "l1"}) == 1


def test_an_entry_that_outgrows_the_bound_does_not_leave_its_old_self_behind() -> None:
    store = memory_store(Metrics(), max_bytes=ONE)
    store.put(A, prediction(0.75))
    store.put(A, LARGER)
    assert store.lookup((A,)) == [None]


def test_a_bound_of_zero_stores_nothing() -> None:
    store = memory_store(Metrics(), max_bytes=0)
    store.put(A, prediction())
    assert store.lookup((A,)) == [None]
    assert len(store) == 0


def test_entries_bytes_and_operations_are_shown() -> None:
    metrics = Metrics()
    store = memory_store(metrics)
    store.put(A, prediction(0.75))
    store.put(B, prediction(0.75))
    store.lookup((A, C, B))
    store.lookup((C,))
    assert value(metrics, "mlapi_cache_entries", tier="l1") == 2
    assert value(metrics, "mlapi_cache_bytes", tier="l1") == 2 * ONE
    assert operations(metrics, "l1", "get") == {"hit": 2, "miss": 2}
    assert operations(metrics, "l1", "set") == {"ok": 2}


def test_the_cost_of_an_entry_is_at_least_what_the_interpreter_allocates_for_it() -> None:
    count = 10_000
    metrics = Metrics()
    store = memory_store(metrics, max_bytes=1 << 30)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            one = prediction(number / count, tokens=number)
            store.put(digest(f"text {number}"), one)
            RANKED.all(one)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    measured = after - before
    held = value(metrics, "mlapi_cache_bytes", tier="l1")
    assert held is not None
    assert measured < held < 1.3 * measured
