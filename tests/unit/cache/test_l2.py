"""What L2 makes of each thing that Redis may say instead of doing what it was asked."""

import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from mlapi.cache.keys import redis_key
from mlapi.cache.l2 import RedisStore
from mlapi.observability.metrics import Metrics
from tests.scripted_redis import HANG_UP, SILENCE, ScriptedRedis
from tests.stores import CODEC, NAMESPACE, Clock, digest, fetch, operations, prediction, redis_store, texts, value

KNOWN, UNKNOWN, NEW = texts(3)
FOUND = prediction()
BACKOFF_S = 1.0
REFUSALS = [
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN Hash slot not served",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "ERR unknown command",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "MOVED 3999 127.0.0.1:6381",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run this command",
    "NOREPLICAS Not enough good replicas to write.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "a proxy's own words",
]
NO_REPLIES = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a number": b":1\r\n",
    "a status": b"+QUEUED\r\n",
    "nothing": b"$-1\r\n",
    "no records at all": b"*0\r\n",
    "the end": HANG_UP,
}
"""What Redis replies to neither MGET nor SET."""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedRedis]:
    async with ScriptedRedis() as server:
        server.records[redis_key(NAMESPACE, KNOWN)] = CODEC.encode(KNOWN, FOUND)
        yield server


@pytest.fixture
async def store(server: ScriptedRedis, metrics: Metrics, clock: Clock) -> AsyncIterator[RedisStore]:
    store = redis_store(server.url, metrics, backoff_s=BACKOFF_S, clock=clock)
    yield store
    await store.close()


class Scene(NamedTuple):
    """A store and all that can be seen of it."""

    store: RedisStore
    server: ScriptedRedis
    metrics: Metrics
    clock: Clock


@pytest.fixture
def scene(store: RedisStore, server: ScriptedRedis, metrics: Metrics, clock: Clock) -> Scene:
    return Scene(store, server, metrics, clock)


async def put(store: RedisStore, *digests: bytes) -> set[bytes]:
    """Store a prediction of each text, wait for the outcome, and return those that were not promised to be kept."""
    unkept = await store.put_many(dict.fromkeys(digests, FOUND))
    await store.flush()
    return set(unkept)


def refused(reply: str) -> str:
    code = reply.partition(" ")[0]
    return f"refused ({code if code.isupper() else 'ERR'})"


@pytest.mark.parametrize("reply", REFUSALS, ids=lambda reply: reply.split()[0])
async def test_refused_stores_are_told_and_look_ups_go_on(
    scene: Scene, caplog: pytest.LogCaptureFixture, reply: str
) -> None:
    store, server, metrics, clock = scene
    caplog.set_level(logging.INFO)
    server.instead["SET"] = [f"-{reply}\r\n".encode()]
    assert await put(store, NEW) == set()
    for number in range(20):
        text = digest(f"another {number}")
        assert await put(store, text) == {text}
    assert server.calls["SET"] == 1
    assert (store.server.state, store.server.reason) == ("degraded", f"stores: {refused(reply)}")
    assert operations(metrics, "l2", "set") == {"refused": 1, "withheld": 20}
    assert value(metrics, "mlapi_cache_writes_dropped_total") == 21
    assert value(metrics, "mlapi_cache_write_breaker_state") == 2
    assert value(metrics, "mlapi_cache_breaker_state") == 0
    assert await fetch(store, [KNOWN, UNKNOWN]) == [FOUND, None]

    clock.now += BACKOFF_S
    assert await put(store, NEW) == {NEW}
    assert server.calls["SET"] == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].message == f"nothing is stored in Redis for now: {reply}"

    del server.instead["SET"]
    clock.now += 2 * BACKOFF_S
    assert await put(store, NEW) == {NEW}
    assert await fetch(store, [NEW]) == [FOUND]
    assert (store.server.state, store.server.reason) == ("ok", None)
    assert value(metrics, "mlapi_cache_write_breaker_state") == 0
    assert await put(store, UNKNOWN) == set()
    assert caplog.records[1].message == "Redis stores again"
    assert len(caplog.records) == 2


@pytest.mark.parametrize("reply", REFUSALS, ids=lambda reply: reply.split()[0])
async def test_refused_look_ups_are_told_and_stores_go_on(
    scene: Scene, caplog: pytest.LogCaptureFixture, reply: str
) -> None:
    store, server, metrics, clock = scene
    caplog.set_level(logging.INFO)
    server.instead["MGET"] = [f"-{reply}\r\n".encode()]
    for _ in range(20):
        assert await fetch(store, [KNOWN]) == [None]
    assert server.calls["MGET"] == 1
    assert (store.server.state, store.server.reason) == ("degraded", f"look-ups: {refused(reply)}")
    assert operations(metrics, "l2", "get") == {"refused": 1, "skipped": 19}
    assert value(metrics, "mlapi_cache_breaker_state") == 2
    assert value(metrics, "mlapi_cache_write_breaker_state") == 0
    assert await put(store, NEW) == set()
    assert server.records[redis_key(NAMESPACE, NEW)] == CODEC.encode(NEW, FOUND)
    assert operations(metrics, "l2", "set") == {"ok": 1}
    assert [record.message for record in caplog.records] == [f"Redis is not asked for now: {reply}"]

    del server.instead["MGET"]
    clock.now += BACKOFF_S
    assert await fetch(store, [KNOWN, NEW]) == [FOUND, FOUND]
    assert (store.server.state, store.server.reason) == ("ok", None)
    assert [record.message for record in caplog.records[1:]] == ["Redis answers again"]


async def test_stores_that_are_not_answered_are_told(server: ScriptedRedis, metrics: Metrics) -> None:
    store = redis_store(server.url, metrics, timeout_s=0.02, backoff_s=60.0)
    server.instead["SET"] = [SILENCE]
    for _ in range(5):
        assert await put(store, NEW) == set()
    assert store.server.reason == "stores: no answer in time"
    assert await put(store, NEW) == {NEW}
    assert operations(metrics, "l2", "set") == {"timeout": 5, "withheld": 1}
    await store.close()


async def test_both_reasons_are_told(store: RedisStore, server: ScriptedRedis) -> None:
    server.instead = {"MGET": [b"-NOAUTH Authentication required.\r\n"], "SET": [b"-OOM command not allowed\r\n"]}
    await fetch(store, [KNOWN])
    await put(store, NEW)
    assert store.server.reason == "look-ups: refused (NOAUTH); stores: refused (OOM)"


@pytest.mark.parametrize("reply", NO_REPLIES.values(), ids=NO_REPLIES)
async def test_what_is_no_reply_to_a_look_up_is_a_miss_and_a_failure(
    store: RedisStore, server: ScriptedRedis, metrics: Metrics, clock: Clock, reply: bytes | None
) -> None:
    server.instead["MGET"] = [reply]
    for _ in range(5):
        assert await fetch(store, [KNOWN, UNKNOWN]) == [None, None]
    assert operations(metrics, "l2", "get") == {"error": 10}
    assert store.server.reason in {"look-ups: not a Redis", "look-ups: no connection"}
    # Nothing is stored where nothing answers.
    assert await put(store, NEW) == {NEW}
    assert operations(metrics, "l2", "set") == {"skipped": 1}
    del server.instead["MGET"]
    clock.now += BACKOFF_S
    assert await fetch(store, [KNOWN, UNKNOWN]) == [FOUND, None]


@pytest.mark.parametrize("reply", NO_REPLIES.values(), ids=NO_REPLIES)
async def test_what_is_no_reply_to_a_store_is_a_failure(
    store: RedisStore, server: ScriptedRedis, metrics: Metrics, clock: Clock, reply: bytes | None
) -> None:
    server.instead["SET"] = [reply]
    for _ in range(5):
        assert await put(store, NEW, UNKNOWN) == set()
    assert await put(store, NEW, UNKNOWN) == {NEW, UNKNOWN}
    assert operations(metrics, "l2", "set") == {"error": 10, "withheld": 2}
    assert store.server.reason in {"stores: not a Redis", "stores: no connection"}
    assert await fetch(store, [KNOWN]) == [FOUND]
    del server.instead["SET"]
    clock.now += BACKOFF_S
    await put(store, NEW)
    assert await fetch(store, [KNOWN, NEW]) == [FOUND, FOUND]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda reply: reply.split()[0])
async def test_of_a_pipeline_each_record_has_its_own_outcome_and_no_reply_is_left_over(
    store: RedisStore, server: ScriptedRedis, metrics: Metrics, refusal: str
) -> None:
    ok, no = b"+OK\r\n", f"-{refusal}\r\n".encode()
    server.instead["SET"] = [ok, no, ok, no, ok]
    assert await put(store, *texts(5, "together")) == set()
    assert operations(metrics, "l2", "set") == {"ok": 3, "refused": 2}
    assert store.server.reason == f"stores: {refused(refusal)}"
    connections = server.connections
    assert await fetch(store, [KNOWN]) == [FOUND]
    assert server.connections - connections == ("READONLY" in refusal or "MASTERDOWN" in refusal)


async def test_a_proxy_that_lost_one_of_its_servers_costs_only_that_ones_records(
    store: RedisStore, server: ScriptedRedis, metrics: Metrics
) -> None:
    record = CODEC.encode(KNOWN, FOUND)
    lost = b"-upstream failure\r\n"
    server.instead["MGET"] = [b"*3\r\n%b$%d\r\n%b\r\n:7\r\n" % (lost, len(record), record), b"*2\r\n" + 2 * lost]
    assert await fetch(store, [UNKNOWN, KNOWN, NEW]) == [None, FOUND, None]
    assert operations(metrics, "l2", "get") == {"hit": 1, "refused": 2}
    assert store.server.state == "ok"
    assert await fetch(store, [UNKNOWN, NEW]) == [None, None]
    assert store.server.reason == "look-ups: refused (ERR)"


async def test_values_of_another_type_are_no_records(store: RedisStore, server: ScriptedRedis) -> None:
    server.instead["MGET"] = [b"*2\r\n:7\r\n*0\r\n"]
    for _ in range(5):
        assert await fetch(store, [KNOWN, NEW]) == [None, None]
    assert store.server.reason == "look-ups: not a Redis"


@pytest.mark.parametrize("command", ["MGET", "SET"])
async def test_a_server_that_became_a_replica_is_left_on_every_connection(
    store: RedisStore, server: ScriptedRedis, clock: Clock, command: str
) -> None:
    first = fetch(store, [KNOWN])
    await put(store, NEW)
    assert await first == [FOUND]
    connections = server.connections
    server.instead[command] = [b"-READONLY You can't write against a read only replica.\r\n"]
    await fetch(store, [KNOWN])
    await put(store, NEW)
    del server.instead[command]
    clock.now += BACKOFF_S
    assert await fetch(store, [KNOWN]) == [FOUND]
    await put(store, NEW)
    assert store.server.state == "ok"
    assert server.connections > connections


async def test_connections_made_during_a_failover_are_left_once_it_is_over(
    store: RedisStore, server: ScriptedRedis, clock: Clock
) -> None:
    """Such a connection may lead to the old primary, which answers look-ups and so would be kept for ever."""
    server.instead["SET"] = [b"-READONLY You can't write against a read only replica.\r\n"]
    await put(store, NEW)
    del server.instead["SET"]
    assert await fetch(store, [KNOWN]) == [FOUND]
    clock.now += BACKOFF_S
    connections = server.connections
    await put(store, NEW)
    assert await fetch(store, [KNOWN, NEW]) == [FOUND, FOUND]
    assert store.server.state == "ok"
    assert server.connections == connections + 1


async def test_a_reply_that_comes_late_moves_nothing(
    store: RedisStore, server: ScriptedRedis, metrics: Metrics, clock: Clock
) -> None:
    """Stores on the way when the circuit opened say nothing about the probe."""
    server.instead["SET"] = [b"-OOM command not allowed\r\n"]
    await put(store, NEW)
    clock.now += BACKOFF_S
    unkept = await store.put_many({NEW: FOUND})
    assert unkept == {NEW}
    assert await store.put_many({UNKNOWN: FOUND}) == {UNKNOWN}
    await store.flush()
    assert server.calls["SET"] == 2
    assert operations(metrics, "l2", "set") == {"refused": 2, "withheld": 1}


async def test_what_is_refused_at_the_end_is_counted(
    server: ScriptedRedis, metrics: Metrics, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = redis_store(server.url, metrics, clock=clock)
    server.instead["SET"] = [b"-OOM command not allowed\r\n"]
    await store.put_many(dict.fromkeys(texts(300), FOUND))
    await store.close()
    assert operations(metrics, "l2", "set") == {"refused": 128, "withheld": 172}
    assert value(metrics, "mlapi_cache_writes_dropped_total") == 300
    assert [record.message for record in caplog.records] == [
        "nothing is stored in Redis for now: OOM command not allowed"
    ]
