"""Redis answers and does not store: it is said, nothing fails, hits go on, and it ends when Redis stores again."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.e2e.traffic import Traffic
from tests.service_process import ServiceProcess, eventually
from tests.steady_address import SteadyAddress
from tools.private_redis import PrivateRedis

ROOT = Path(__file__).parents[2]
TEXTS = [f"asked for over and over, number {number}" for number in range(12)]
CLOSED, OPEN = 0, 2
STOPPED, RESUMED = "nothing is stored in Redis for now", "Redis stores again"
L2_SETS = 'mlapi_cache_operations_total{{operation="set",result="{}",tier="l2"}}'


@pytest.fixture
def redis(redis_process: PrivateRedis) -> Iterator[PrivateRedis]:
    """One whose settings, rights and role a test may change."""
    redis_process.restart()
    yield redis_process
    redis_process.restart()


def serve(redis_url: str) -> ServiceProcess:
    """Start without an L1, which would keep everything, so that nobody would notice what becomes of Redis."""
    return ServiceProcess(redis_url=redis_url, engine="fake", l1_bytes="0", redis_timeout_ms="1000")


def cache_health(service: ServiceProcess) -> dict[str, str]:
    response = service.client.get("/project/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    cache: dict[str, str] = response.json()["cache"]
    return cache


class NewTexts:
    """Asks for texts that nobody asked for before, so that there is something to store."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._numbers = itertools.count()

    def is_promised(self) -> bool:
        """Ask for one, and return whether the answer says that it is stored."""
        answer = self._service.predict(f"asked for once, number {next(self._numbers)}")
        assert answer.status_code == 200
        said = answer.headers["cache-status"]
        assert said in {
            f'mlapi; fwd=miss{stored}; detail="l1=0 l2=0 collapsed=0 model=1"' for stored in ("", "; stored")
        }
        return "stored" in said


def fill(redis: Redis) -> None:
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", "1")


def make_room(redis: Redis) -> None:
    redis.config_set("maxmemory", "64mb")


def take_the_right_to_set(redis: Redis) -> None:
    redis.acl_setuser("default", enabled=True, nopass=True, commands=["-set"])


def give_the_right_to_set(redis: Redis) -> None:
    redis.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])


@pytest.mark.parametrize(
    ("refuse", "accept", "code"),
    [(fill, make_room, "OOM"), (take_the_right_to_set, give_the_right_to_set, "NOPERM")],
    ids=["full", "without the right to"],
)
def test_refused_stores_are_told_everywhere_until_they_are_not(
    redis: PrivateRedis, refuse: Callable[[Redis], None], accept: Callable[[Redis], None], code: str
) -> None:
    with Redis.from_url(redis.url) as client, serve(redis.url) as service, Traffic(service, TEXTS) as traffic:
        new = NewTexts(service)
        assert new.is_promised()
        eventually(lambda: client.dbsize() == len(TEXTS) + 1, "all of it in Redis")
        refuse(client)
        try:
            eventually(lambda: not new.is_promised(), "an answer that does not promise to be stored")
            assert cache_health(service) == {"status": "degraded", "reason": f"stores: refused ({code})"}
            with service.counting() as rises:
                answered = traffic.answered
                eventually(lambda: not new.is_promised() and traffic.answered > answered + 100, "more answers")
            assert rises['mlapi_texts_total{model="project",source="l2"}'] >= 100
            assert rises[L2_SETS.format("withheld")] > 0
            assert rises["mlapi_cache_writes_dropped_total"] > 0
            assert service.metric("mlapi_cache_breaker_state") == CLOSED
            assert service.metric("mlapi_cache_write_breaker_state") > CLOSED
            assert service.log.count(STOPPED) == 1
            smoke_test = [sys.executable, "tools/smoke_test.py", f"{service.url}{service.root}"]
            said = subprocess.run(smoke_test, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            assert f"the cache: degraded, stores: refused ({code})\n" in said
        finally:
            accept(client)
        eventually(new.is_promised, "an answer that promises to be stored", 30)
        assert cache_health(service) == {"status": "ok"}
        assert service.metric("mlapi_cache_write_breaker_state") == CLOSED
        assert service.log.count(STOPPED) == service.log.count(RESUMED) == 1
    assert traffic.failures == []


@pytest.fixture
def successor(redis: PrivateRedis) -> Iterator[PrivateRedis]:
    """A replica of `redis` that holds what it holds."""
    with PrivateRedis() as replica, Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", str(redis.port))
        eventually(lambda: client.info("replication")["master_link_status"] == "up", "replication")
        yield replica


def test_a_failover_that_keeps_connections_open_fails_no_request(redis: PrivateRedis, successor: PrivateRedis) -> None:
    with (
        Redis.from_url(redis.url) as old,
        Redis.from_url(successor.url) as primary,
        SteadyAddress(redis.port) as address,
        serve(address.url) as service,
        Traffic(service, TEXTS) as traffic,
    ):
        new = NewTexts(service)
        assert new.is_promised()
        known = len(TEXTS) + 1
        eventually(lambda: primary.dbsize() == known, "all of it on the replica")

        primary.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(successor.port))
        eventually(lambda: not new.is_promised(), "an answer that does not promise to be stored")
        # Look-ups may be refused, too, while the old primary loads what the new one holds.
        assert cache_health(service)["reason"].endswith("stores: refused (READONLY)")
        address.target = successor.port

        eventually(new.is_promised, "an answer that promises to be stored", 30)
        eventually(lambda: primary.dbsize() > known, "stores on the new primary")
        # A connection that was made just before the address moved refuses once more, until a store finds out.
        eventually(lambda: new.is_promised() and cache_health(service) == {"status": "ok"}, "health", 30)
        with service.counting() as rises:
            answered = traffic.answered
            eventually(lambda: traffic.answered > answered + 100, "more answers")
        assert rises['mlapi_texts_total{model="project",source="l2"}'] >= 100
        # Only the inspector of this test is left there: look-ups have moved, too.
        eventually(lambda: len(old.client_list(_type="normal")) == 1, "no connection to the old primary")
        assert 1 <= service.log.count(STOPPED) == service.log.count(RESUMED) <= 2
    assert traffic.failures == []
