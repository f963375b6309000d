"""L2 against a real Redis: what travels, what is stored, and what happens when Redis does not do its part."""

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

import pytest
import uvloop
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from mlapi.cache.codec import Codec
from mlapi.cache.keys import redis_key
from mlapi.cache.l2 import RedisStore
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from tests.stores import (
    CODEC,
    NAMESPACE,
    OTHER_MODEL,
    POSTPROCESSOR,
    digest,
    fetch,
    operations,
    prediction,
    redis_store,
    texts,
    until,
    value,
)
from tools.private_redis import PrivateRedis

A, B, C = texts(3)
FOUND = prediction()
BUDGET_S = 0.05
# What a machine that is busy with other tests may add to a wait.
SLACK_S = 0.25


@pytest.fixture
def inspector(redis_server: PrivateRedis) -> Iterator[Redis]:
    """Another client of the same server."""
    with Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def store(redis_server: PrivateRedis, metrics: Metrics) -> AsyncIterator[RedisStore]:
    store = redis_store(redis_server.url, metrics)
    yield store
    await store.close()


@pytest.fixture
async def hasty(redis_server: PrivateRedis, metrics: Metrics) -> AsyncIterator[RedisStore]:
    """A store that waits only `BUDGET_S`, connected already."""
    store = redis_store(redis_server.url, metrics, timeout_s=BUDGET_S)
    await store.put_many({A: FOUND})
    await store.flush()
    while await fetch(store, [A]) != [FOUND]:
        pass
    yield store
    await store.close()


def calls(client: Redis, command: str) -> int:
    """Return how often the server has executed a command since the test began."""
    statistics = cast("dict[str, dict[str, int]]", client.info("commandstats"))
    return statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"]


async def look_up_until_degraded(store: RedisStore) -> list[float]:
    """Look up again and again, always without a hit, and return how long each look-up took."""
    waits: list[float] = []
    while store.server.state == "ok":
        began = time.perf_counter()
        assert await fetch(store, [A, B]) == [None, None]
        waits.append(time.perf_counter() - began)
    return waits


async def look_up_until(store: RedisStore, text: bytes, expected: Prediction | None) -> None:
    """Look up again and again until Redis itself has said what it holds."""
    async with asyncio.timeout(10):
        while True:
            found = await fetch(store, [text])
            if store.server.state == "ok" and found == [expected]:
                return
            await asyncio.sleep(0.005)


async def test_look_ups_of_many_callers_are_one_mget(store: RedisStore, inspector: Redis) -> None:
    await store.put_many({A: FOUND, B: FOUND})
    await store.flush()
    found = await asyncio.gather(*(fetch(store, [A, B, digest(f"unknown {number}")]) for number in range(100)))
    assert found == [[FOUND, FOUND, None]] * 100
    assert calls(inspector, "mget") == 1
    assert calls(inspector, "get") == 0


async def test_stores_are_written_behind_without_a_transaction(store: RedisStore, inspector: Redis) -> None:
    await asyncio.gather(*(store.put_many({text: FOUND}) for text in texts(100)))
    await store.flush()
    assert (calls(inspector, "set"), calls(inspector, "multi")) == (100, 0)
    assert inspector.dbsize() == 100


async def test_each_text_counts_once_in_the_metrics(store: RedisStore, metrics: Metrics) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    await asyncio.gather(fetch(store, [A, B]), fetch(store, [A]))
    assert operations(metrics, "l2", "set") == {"ok": 1}
    assert operations(metrics, "l2", "get") == {"hit": 2, "miss": 1}
    for operation in ("get", "set"):
        count = value(metrics, "mlapi_cache_operation_duration_seconds_count", tier="l2", operation=operation)
        assert count == 1


async def test_what_is_stored_is_the_key_and_record_of_the_schema(store: RedisStore, inspector: Redis) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    assert inspector.keys() == [redis_key(NAMESPACE, A)]
    assert inspector.get(redis_key(NAMESPACE, A)) == CODEC.encode(A, FOUND)


async def test_times_to_live_differ_by_a_tenth_either_way(store: RedisStore, inspector: Redis) -> None:
    await store.put_many(dict.fromkeys(texts(200), FOUND))
    await store.flush()
    lives_ms = [inspector.pttl(key) for key in cast("list[bytes]", inspector.keys())]
    assert len(lives_ms) == 200
    assert max(lives_ms) <= 66_000
    # A second for the test itself; 200 draws from [54, 66) s all within 6 s have a chance of 2 in 10^58.
    assert min(lives_ms) > 53_000
    assert max(lives_ms) - min(lives_ms) > 6_000


async def test_planted_values_are_misses_counted_and_overwritten(
    store: RedisStore, inspector: Redis, metrics: Metrics
) -> None:
    listed, *planted = texts(7)
    record = CODEC.encode(planted[0], FOUND)
    damaged = record[:-1] + bytes([record[-1] ^ 1])
    of_another_model = Codec(OTHER_MODEL, POSTPROCESSOR).encode(planted[5], FOUND)
    values = (damaged, b"", b"\0" * 1000, record[:-1], record, of_another_model)
    for text, content in zip(planted, values, strict=True):
        inspector.set(redis_key(NAMESPACE, text), content)
    inspector.rpush(redis_key(NAMESPACE, listed), "a list is no string")
    assert await fetch(store, [listed, *planted]) == [None] * 7
    # MGET returns nothing for what is not a string (redis.io/commands/mget), so this one cannot be told from a miss.
    assert operations(metrics, "l2", "get") == {"corrupt": 6, "miss": 1}

    await store.put_many(dict.fromkeys([listed, *planted], FOUND))
    await store.flush()
    assert await fetch(store, [listed, *planted]) == [FOUND] * 7


async def test_cancelling_one_caller_leaves_the_others_their_answer(
    store: RedisStore, redis_server: PrivateRedis
) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    redis_server.pause()
    impatient, patient = (asyncio.create_task(fetch(store, [A])) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait({impatient})
    redis_server.resume()
    assert await patient == [FOUND]


async def test_a_redis_that_hangs_costs_its_budget_then_nothing_and_is_found_again(
    hasty: RedisStore, redis_server: PrivateRedis, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    redis_server.pause()
    waits = await look_up_until_degraded(hasty)
    assert len(waits) == 5
    assert max(waits) < BUDGET_S + SLACK_S
    assert operations(metrics, "l2", "get")["timeout"] == 10
    began = time.perf_counter()
    assert await fetch(hasty, [A]) == [None]
    assert time.perf_counter() - began < BUDGET_S
    redis_server.resume()
    await look_up_until(hasty, A, FOUND)
    assert hasty.server.state == "ok"
    assert value(metrics, "mlapi_cache_breaker_state") == 0
    assert [record.message for record in caplog.records] == [
        "Redis is not asked for now: no answer within the time budget of a look-up",
        "Redis answers again",
    ]


async def test_a_reply_that_comes_too_late_is_never_given_to_someone_else(
    hasty: RedisStore, redis_server: PrivateRedis
) -> None:
    others = {text: prediction(number / 64) for number, text in enumerate(texts(64, "other"))}
    await hasty.put_many(others)
    await hasty.flush()
    redis_server.pause()
    await fetch(hasty, [A])
    redis_server.resume()
    for _ in range(3):
        found = await asyncio.gather(*(fetch(hasty, [text]) for text in others))
        assert all(hit in (None, expected) for (hit,), expected in zip(found, others.values(), strict=True))
    await look_up_until(hasty, A, FOUND)
    assert await fetch(hasty, list(others)) == list(others.values())


async def test_a_redis_that_is_killed_is_a_miss_at_once_and_found_again_when_it_is_back(
    hasty: RedisStore, redis_server: PrivateRedis, metrics: Metrics
) -> None:
    redis_server.kill()
    waits = await look_up_until_degraded(hasty)
    assert max(waits) < BUDGET_S + SLACK_S
    assert value(metrics, "mlapi_cache_breaker_state") == 2
    assert await hasty.put_many({B: FOUND}) == {B}
    assert operations(metrics, "l2", "set") == {"ok": 1, "skipped": 1}
    assert value(metrics, "mlapi_cache_writes_dropped_total") == 1

    redis_server.restart()
    await look_up_until(hasty, A, None)
    await hasty.put_many({B: FOUND})
    await look_up_until(hasty, B, FOUND)


async def test_a_connection_that_redis_closed_is_replaced_unnoticed(store: RedisStore, inspector: Redis) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    assert await fetch(store, [A]) == [FOUND]
    assert inspector.client_kill_filter(_type="normal", skipme=True)
    assert await fetch(store, [A]) == [FOUND]


async def test_a_redis_that_never_was_is_a_miss(metrics: Metrics) -> None:
    # Nothing listens on the port that carries tcpmux.
    store = redis_store("redis://127.0.0.1:1", metrics)
    assert store.server.state == "ok"
    await look_up_until_degraded(store)
    assert set(operations(metrics, "l2", "get")) == {"error"}
    await store.close()


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:{}", "rediss://127.0.0.1:{}"])
async def test_connecting_that_never_ends_costs_a_caller_no_more_than_the_budget(metrics: Metrics, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = redis_store(url.format(silent.getsockname()[1]), metrics, timeout_s=BUDGET_S)
        waits = await look_up_until_degraded(store)
        assert max(waits) < BUDGET_S + SLACK_S
        assert set(operations(metrics, "l2", "get")) == {"timeout"}
        await store.close()


def fill(inspector: Redis) -> None:
    inspector.config_set("maxmemory-policy", "noeviction")
    inspector.config_set("maxmemory", "1")


def demote(inspector: Redis) -> None:
    inspector.replicaof("127.0.0.1", "1")


def take_the_right_to_set(inspector: Redis) -> None:
    inspector.acl_setuser("default", enabled=True, nopass=True, commands=["-set"])


def mend(inspector: Redis) -> None:
    """Undo all of them."""
    inspector.replicaof("NO", "ONE")
    inspector.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])
    inspector.config_set("maxmemory", "64mb")
    inspector.config_set("replica-serve-stale-data", "yes")


@pytest.mark.parametrize(
    ("refuse", "code"),
    [(fill, "OOM"), (demote, "READONLY"), (take_the_right_to_set, "NOPERM")],
    ids=lambda part: part if isinstance(part, str) else "",
)
async def test_a_redis_that_refuses_writes_is_still_read_and_written_to_when_it_takes_them_again(
    store: RedisStore, inspector: Redis, metrics: Metrics, refuse: Callable[[Redis], None], code: str
) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    try:
        refuse(inspector)
        for text in texts(20, "refused"):
            await store.put_many({text: FOUND})
            await store.flush()
            assert await fetch(store, [A]) == [FOUND]
        assert store.server.reason == f"stores: refused ({code})"
        assert set(operations(metrics, "l2", "set")) == {"ok", "refused", "withheld"}
        assert value(metrics, "mlapi_cache_writes_dropped_total") == 20
        assert inspector.dbsize() == 1
    finally:
        mend(inspector)
    async with asyncio.timeout(10):
        while store.server.state != "ok":
            await store.put_many({B: FOUND})
            await store.flush()
            await asyncio.sleep(0.005)
    assert await fetch(store, [A, B]) == [FOUND, FOUND]


async def test_a_user_with_the_least_rights_is_enough(
    redis_server: PrivateRedis, inspector: Redis, metrics: Metrics
) -> None:
    inspector.acl_setuser(
        "least", reset=True, enabled=True, passwords=["+secret"], keys=["mlapi:*"], commands=["+mget", "+set"]
    )
    store = redis_store(redis_server.url.replace("redis://", "redis://least:secret@"), metrics)
    await store.put_many({A: FOUND})
    await store.flush()
    assert await fetch(store, [A]) == [FOUND]
    assert store.server.state == "ok"
    await store.close()
    inspector.acl_deluser("least")


async def test_a_redis_without_room_for_another_connection_is_no_refusal(
    store: RedisStore, inspector: Redis, metrics: Metrics
) -> None:
    inspector.config_set("maxclients", 1)
    try:
        await look_up_until_degraded(store)
        assert operations(metrics, "l2", "get") == {"error": 10}
        assert store.server.reason == "look-ups: no connection"
    finally:
        inspector.config_set("maxclients", 10_000)
    await look_up_until(store, A, None)


def take_the_right_to_mget(inspector: Redis) -> None:
    inspector.acl_setuser("default", enabled=True, nopass=True, commands=["-mget"])


def cut_off_from_its_primary(inspector: Redis) -> None:
    inspector.config_set("replica-serve-stale-data", "no")
    demote(inspector)


@pytest.mark.parametrize(
    ("refuse", "code"),
    [(take_the_right_to_mget, "NOPERM"), (cut_off_from_its_primary, "MASTERDOWN")],
    ids=lambda part: part if isinstance(part, str) else "",
)
async def test_a_redis_that_refuses_look_ups_is_asked_again_later(
    store: RedisStore, inspector: Redis, refuse: Callable[[Redis], None], code: str
) -> None:
    await store.put_many({A: FOUND})
    await store.flush()
    try:
        refuse(inspector)
        assert await fetch(store, [A]) == [None]
        assert store.server.reason == f"look-ups: refused ({code})"
    finally:
        mend(inspector)
    await look_up_until(store, A, FOUND)
    assert store.server.reason is None


async def test_a_redis_that_asks_for_a_password_degrades_the_cache_and_nothing_else(
    store: RedisStore, inspector: Redis, metrics: Metrics
) -> None:
    inspector.config_set("requirepass", "secret")
    try:
        await look_up_until_degraded(store)
        assert set(operations(metrics, "l2", "get")) == {"refused"}
        assert store.server.reason == "look-ups: refused (NOAUTH)"
    finally:
        inspector.config_set("requirepass", "")


async def test_the_password_in_the_url_is_used(redis_server: PrivateRedis, inspector: Redis, metrics: Metrics) -> None:
    inspector.config_set("requirepass", "secret")
    try:
        store = redis_store(f"redis://:secret@127.0.0.1:{redis_server.port}/3", metrics)
        await store.put_many({A: FOUND})
        await store.flush()
        assert await fetch(store, [A]) == [FOUND]
        await store.close()
    finally:
        inspector.config_set("requirepass", "")


async def test_the_url_may_name_an_ipv6_address(redis_server: PrivateRedis, metrics: Metrics) -> None:
    store = redis_store(f"redis://[::1]:{redis_server.port}", metrics)
    await store.put_many({A: FOUND})
    await store.flush()
    assert await fetch(store, [A]) == [FOUND]
    await store.close()


async def test_stores_that_redis_cannot_take_in_time_are_dropped_and_counted(
    redis_server: PrivateRedis, metrics: Metrics
) -> None:
    store = redis_store(redis_server.url, metrics, max_pending_writes=10)
    redis_server.pause()
    assert await store.put_many(dict.fromkeys(texts(25), FOUND)) == set(texts(25)[10:])
    assert operations(metrics, "l2", "set") == {"dropped": 15}
    await store.flush()
    assert operations(metrics, "l2", "set") == {"dropped": 15, "timeout": 10}
    assert value(metrics, "mlapi_cache_writes_dropped_total") == 25
    await store.close()


async def test_stores_that_wait_when_redis_fails_are_dropped_without_another_attempt(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = redis_store(
            f"rediss://127.0.0.1:{silent.getsockname()[1]}", metrics, timeout_s=BUDGET_S, backoff_s=10.0
        )
        await store.put_many(dict.fromkeys(texts(200), FOUND))
        await look_up_until_degraded(store)
        await store.flush()
        assert operations(metrics, "l2", "set") == {"timeout": 128, "skipped": 72}
        await store.close()


async def test_closing_stores_what_is_pending(redis_server: PrivateRedis, inspector: Redis, metrics: Metrics) -> None:
    store = redis_store(redis_server.url, metrics)
    await store.put_many(dict.fromkeys(texts(500), FOUND))
    await store.close()
    assert inspector.dbsize() == 500
    assert operations(metrics, "l2", "set") == {"ok": 500}


async def test_closing_takes_bounded_time_tells_what_it_gave_up_and_leaves_no_task_behind(
    redis_server: PrivateRedis, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(redis_server.url, metrics, timeout_s=5.0)
    redis_server.pause()
    await store.put_many(dict.fromkeys(texts(200), FOUND))
    caller = asyncio.create_task(fetch(store, [A]))
    await asyncio.sleep(0)
    began = time.perf_counter()
    await store.close()
    assert time.perf_counter() - began < 1 + SLACK_S
    assert re.search(r"the end came before \d+ predictions were stored in Redis", caplog.text)
    assert await caller == [None]
    await store.put_many({B: FOUND})
    assert value(metrics, "mlapi_cache_writes_dropped_total") == 201
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


def test_all_of_it_works_on_uvloop(redis_server: PrivateRedis, metrics: Metrics) -> None:
    async def use() -> None:
        store = redis_store(redis_server.url, metrics)
        await store.put_many({A: FOUND})
        await store.flush()
        found = await asyncio.gather(fetch(store, [A]), fetch(store, [B, A]))
        assert list(found) == [[FOUND], [None, FOUND]]
        redis_server.kill()
        await look_up_until_degraded(store)
        await store.close()

    uvloop.run(use())


async def test_a_killed_server_is_killed_for_everyone(redis_server: PrivateRedis) -> None:
    redis_server.kill()
    with Redis.from_url(redis_server.url) as client, pytest.raises(RedisConnectionError):
        client.ping()
