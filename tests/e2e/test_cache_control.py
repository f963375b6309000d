"""What a caller may ask of the cache, and what it may not."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.e2e.problem_documents import assert_problem
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

NO_STORE = {"cache-control": "no-store"}
NO_CACHE = {"cache-control": "no-cache"}
ONLY_IF_CACHED = {"cache-control": "only-if-cached"}


@pytest.fixture(scope="module")
def service(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    with ServiceProcess(redis_url=redis.url, engine="fake", redis_timeout_ms="1000") as process:
        yield process


@pytest.fixture(scope="module")
def replica(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    """Another process of the same model: what it knows, it knows from Redis."""
    with ServiceProcess(redis_url=redis.url, engine="fake", redis_timeout_ms="1000", allow_no_cache="true") as process:
        yield process


def entries(redis: PrivateRedis) -> int:
    with Redis.from_url(redis.url) as client:
        count: int = client.dbsize()
        return count


def detail(service: ServiceProcess, text: str, headers: dict[str, str] | None = None) -> str:
    response = service.predict(text, headers=headers)
    assert response.status_code == 200, response.text
    return response.headers["cache-status"].removeprefix("mlapi; ")


def test_no_store_keeps_a_text_out_of_both_tiers(
    service: ServiceProcess, replica: ServiceProcess, redis: PrivateRedis
) -> None:
    before = entries(redis)
    for _ in range(2):
        assert detail(service, "not to be stored", NO_STORE) == 'fwd=miss; detail="l1=0 l2=0 collapsed=0 model=1"'
    # Stores travel in order: when this one has arrived, an earlier one would have, too.
    assert detail(service, "to be stored").startswith("fwd=miss; stored;")
    eventually(lambda: entries(redis) > before, "the other text is in Redis")
    assert entries(redis) == before + 1
    assert detail(service, "not to be stored", NO_STORE).startswith("fwd=miss;")
    assert detail(replica, "not to be stored").startswith("fwd=miss;")


def test_no_store_may_be_answered_from_either_tier_and_moves_nothing_up(
    service: ServiceProcess, replica: ServiceProcess, redis: PrivateRedis
) -> None:
    before = entries(redis)
    service.predict("stored by somebody else")
    eventually(lambda: entries(redis) == before + 1, "the text is in Redis")
    assert detail(service, "stored by somebody else", NO_STORE) == 'hit; detail="l1=1 l2=0 collapsed=0 model=0"'
    for _ in range(2):
        assert detail(replica, "stored by somebody else", NO_STORE) == 'hit; detail="l1=0 l2=1 collapsed=0 model=0"'


@pytest.mark.parametrize("header", ["No-Store", "max-age=0, no-store", "no-cache,no-store"])
def test_no_store_is_found_in_any_spelling(service: ServiceProcess, header: str) -> None:
    text = f"not to be stored: {header}"
    for _ in range(2):
        assert detail(service, text, {"cache-control": header}).startswith("fwd=miss; detail=")


def test_only_if_cached_never_asks_the_model(
    service: ServiceProcess, replica: ServiceProcess, redis: PrivateRedis
) -> None:
    before = entries(redis)
    with service.counting() as rises:
        response = service.predict(["asked for only if cached"], headers=ONLY_IF_CACHED)
    assert_problem(response, 504, response.status_code, "not_cached", [])
    assert 'mlapi_batch_texts_count{model="project"}' not in rises
    stored = service.predict("asked for only if cached")
    eventually(lambda: entries(redis) == before + 1, "the text is in Redis")
    for process, source in ((service, "l1=1 l2=0"), (replica, "l1=0 l2=1")):
        response = process.predict("asked for only if cached", headers=ONLY_IF_CACHED)
        assert response.headers["cache-status"] == f'mlapi; hit; detail="{source} collapsed=0 model=0"'
        assert response.content == stored.content
    response = service.predict(["asked for only if cached", "a text that is not"], headers=ONLY_IF_CACHED)
    document = assert_problem(response, 504, response.status_code, "not_cached", [])
    assert document["detail"].startswith("1 of")


def test_no_cache_is_ignored_by_default(service: ServiceProcess) -> None:
    service.predict("asked for past the cache")
    assert detail(service, "asked for past the cache", NO_CACHE).startswith("hit;")


def test_no_cache_where_it_is_allowed_asks_the_model_anew(replica: ServiceProcess) -> None:
    first = replica.predict("asked for past the cache, and allowed to")
    with replica.counting() as rises:
        again = replica.predict("asked for past the cache, and allowed to", headers=NO_CACHE)
    assert again.headers["cache-status"] == 'mlapi; fwd=miss; stored; detail="l1=0 l2=0 collapsed=0 model=1"'
    assert again.content == first.content
    assert rises['mlapi_batch_texts_sum{model="project"}'] == 1
    assert detail(replica, "asked for past the cache, and allowed to").startswith("hit;")
