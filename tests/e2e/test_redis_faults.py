"""Redis killed, frozen, absent and back again under load: nothing fails, and the metrics tell the story."""

from collections.abc import Iterator

import pytest

from tests.e2e.traffic import Traffic
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

TEXTS = [f"asked for over and over, number {number}" for number in range(12)]
CLOSED, OPEN = 0, 2
TIMEOUT_MS = 100
L2_GETS = 'mlapi_cache_operations_total{{operation="get",result="{}",tier="l2"}}'


@pytest.fixture
def redis(redis_process: PrivateRedis) -> Iterator[PrivateRedis]:
    redis_process.restart()
    yield redis_process
    redis_process.resume()


def serve(redis_url: str) -> ServiceProcess:
    """Start without an L1, which would answer everything, so that nobody would notice what becomes of Redis."""
    return ServiceProcess(redis_url=redis_url, engine="fake", l1_bytes="0", redis_timeout_ms=str(TIMEOUT_MS))


def breaker(service: ServiceProcess) -> float:
    return service.metric("mlapi_cache_breaker_state")


def l2_texts(service: ServiceProcess) -> float:
    return service.metric("mlapi_texts_total", source="l2")


def cache_health(service: ServiceProcess) -> str:
    response = service.client.get("/project/health")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    status: str = response.json()["cache"]["status"]
    return status


def percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(len(seconds) * share)]


def test_redis_killed_under_load_and_restarted_fails_no_request(redis: PrivateRedis) -> None:
    with serve(redis.url) as service, Traffic(service, TEXTS) as traffic:
        eventually(lambda: l2_texts(service) > 20, "hits from Redis")
        with service.counting() as rises:
            redis.kill()
            eventually(lambda: breaker(service) == OPEN, "an open circuit")
            answered = traffic.answered
            eventually(lambda: traffic.answered > answered + 50, "answers without Redis")
            assert cache_health(service) == "degraded"
            assert service.client.get("/readyz").status_code == 200
        assert rises[L2_GETS.format("error")] > 0
        assert rises[L2_GETS.format("skipped")] > 0
        assert rises['mlapi_texts_total{model="project",source="model"}'] > 0
        redis.restart()
        before = l2_texts(service)
        eventually(lambda: l2_texts(service) > before + 50, "hits from Redis again", 30)
        assert breaker(service) == CLOSED
        assert cache_health(service) == "ok"
    assert traffic.failures == []


def test_a_frozen_redis_costs_at_most_its_time_budget(redis: PrivateRedis) -> None:
    with serve(redis.url) as service:
        with Traffic(service, TEXTS) as healthy:
            eventually(lambda: healthy.answered > 300, "answers with a healthy Redis")
        with Traffic(service, TEXTS) as traffic:
            with service.counting() as rises:
                redis.pause()
                eventually(lambda: breaker(service) == OPEN, "an open circuit")
                eventually(lambda: traffic.answered > 300, "answers with a frozen Redis")
                assert cache_health(service) == "degraded"
            assert rises[L2_GETS.format("timeout")] > 0
            assert rises[L2_GETS.format("skipped")] > 0
            frozen = list(traffic.latencies)
            redis.resume()
            before = l2_texts(service)
            eventually(lambda: l2_texts(service) > before + 50, "hits from Redis again", 30)
            eventually(lambda: breaker(service) == CLOSED, "a closed circuit")
            assert cache_health(service) == "ok"
    assert healthy.failures == traffic.failures == []
    # The budget, what an answer takes anyway (the fake model's time included), and a busy machine's own delays.
    assert percentile(frozen, 0.99) <= TIMEOUT_MS / 1000 + percentile(healthy.latencies, 0.99) + 0.15


def test_without_a_redis_at_the_start_it_serves_and_finds_redis_later(redis: PrivateRedis) -> None:
    redis.kill()
    with serve(redis.url) as service:
        for text in TEXTS:
            assert service.predict(text).headers["cache-status"].startswith("mlapi; fwd=miss;")
        eventually(lambda: service.predict(TEXTS[0]).is_success and breaker(service) == OPEN, "an open circuit")
        assert cache_health(service) == "degraded"
        assert service.client.get("/readyz").status_code == 200
        redis.restart()
        answers = {service.predict(text).content for text in TEXTS}
        eventually(
            lambda: all(service.predict(text).headers["cache-status"].startswith("mlapi; hit;") for text in TEXTS),
            "all texts from Redis",
            30,
        )
        assert cache_health(service) == "ok"
        assert {service.predict(text).content for text in TEXTS} == answers


def test_a_wrong_password_degrades_and_is_not_written_to_the_log(redis: PrivateRedis) -> None:
    url = redis.url.replace("redis://", "redis://someone:secret-5f1c@")
    with serve(url) as service:
        eventually(lambda: service.predict(TEXTS[0]).is_success and breaker(service) == OPEN, "an open circuit")
        assert cache_health(service) == "degraded"
        assert "Redis is not asked for now" in service.log
        assert "secret-5f1c" not in service.log
