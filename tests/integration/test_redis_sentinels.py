"""L2 with a primary that three real Sentinels watch: who is asked, before a failover, during it and after it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mlapi.cache.l2 import RedisStore
from mlapi.observability.metrics import Metrics
from mlapi.redis_nodes.address import RedisFiles
from tests.redis_deployments import SentinelDeployment
from tests.service_process import HOST, run_mlapi
from tests.stores import fetch, prediction, redis_store, texts, value
from tools.private_redis import StartError

TEXTS = texts(50)
FOUND = prediction()


@pytest.fixture(scope="module")
def sentinels() -> Iterator[SentinelDeployment]:
    try:
        deployment = SentinelDeployment()
    except StartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with deployment:
        yield deployment


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def store(sentinels: SentinelDeployment, metrics: Metrics) -> AsyncIterator[RedisStore]:
    store = redis_store(sentinels.url, metrics)
    yield store
    await store.close()


async def keep(store: RedisStore) -> list[object]:
    """Store all texts, and return what is found of them."""
    await store.put_many(dict.fromkeys(TEXTS, FOUND))
    await store.flush()
    return [*await fetch(store, TEXTS)]


def test_waiting_asks_the_primary_that_sentinels_name(sentinels: SentinelDeployment) -> None:
    done = run_mlapi("wait", "redis", "--timeout", "5", "--url", sentinels.url)
    assert (done.returncode, done.stderr) == (0, f"mlapi: Redis at {sentinels.places} answers\n")


def test_waiting_for_a_primary_that_no_sentinel_knows_ends(sentinels: SentinelDeployment) -> None:
    done = run_mlapi("wait", "redis", "--timeout", "0", "--url", sentinels.url.replace("/primary", "/another"))
    assert done.returncode == 1
    assert "it does not answer (MasterNotFoundError)" in done.stderr


async def test_the_primary_is_asked_and_shown(
    sentinels: SentinelDeployment, store: RedisStore, metrics: Metrics
) -> None:
    assert await keep(store) == [FOUND] * 50
    assert value(metrics, "mlapi_redis_node_up", node=f"{HOST}:{sentinels.primary.port}") == 1
    # Not the whole database: what `mlapi wait` stored may not have expired yet.
    assert len(list(sentinels.client(sentinels.primary).scan_iter("mlapi:*:*"))) == 50


async def test_one_sentinel_that_hangs_does_not_matter(sentinels: SentinelDeployment, store: RedisStore) -> None:
    sentinels.sentinels[0].pause()
    try:
        async with asyncio.timeout(5):
            while await keep(store) != [FOUND] * 50:
                pass
    finally:
        sentinels.sentinels[0].resume()


async def test_sentinels_may_ask_for_a_user_and_a_password_of_their_own(
    sentinels: SentinelDeployment, metrics: Metrics, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("of-sentinels\n")
    asked = sentinels.client(sentinels.sentinels[0])
    for sentinel in sentinels.sentinels:
        sentinels.client(sentinel).acl_setuser(
            "watched", reset=True, enabled=True, passwords=["+of-sentinels"], commands=["+@all"]
        )
    files = RedisFiles(sentinel_password=file)
    store = redis_store(sentinels.url, metrics, files=files, sentinel_user="watched")
    assert await keep(store) == [FOUND] * 50
    assert "watched" in {client["user"] for client in asked.client_list()}
    await store.close()


async def test_a_replica_that_takes_over_is_asked_instead_of_a_primary_that_was_killed(
    sentinels: SentinelDeployment, store: RedisStore, metrics: Metrics
) -> None:
    assert await keep(store) == [FOUND] * 50
    primary = sentinels.primary
    primary.kill()
    async with asyncio.timeout(20):
        # Each round stores, too: only so is it seen that stores work again.
        while True:
            if await keep(store) == [FOUND] * 50 and store.server.state == "ok":
                break
            await asyncio.sleep(0.01)
    sentinels.wait_for_another_than(primary)
    assert value(metrics, "mlapi_redis_primary_changes_total") == 1
    assert value(metrics, "mlapi_redis_node_up", node=f"{HOST}:{primary.port}") is None
    assert value(metrics, "mlapi_redis_node_up", node=f"{HOST}:{sentinels.primary.port}") == 1
