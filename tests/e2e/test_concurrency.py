"""Many requests at once: each text is computed once, every caller gets the same answer, and the counters add up."""

import asyncio
import random
from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.service_process import ServiceProcess
from tools.private_redis import PrivateRedis

SOURCES = ("l1", "l2", "collapsed", "model")


@pytest.fixture(scope="module")
def service(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    # Little room in L1, so that Redis has its share of the answers.
    with ServiceProcess(redis_url=redis.url, l1_bytes="40000") as process:
        yield process


async def predict_all(service: ServiceProcess, requests: Sequence[Sequence[str]]) -> list[httpx.Response]:
    """Send all requests at once, each over a connection of its own."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0, limits=limits) as client:
        answers = [client.post(f"{service.root}/predict", json={"text": list(texts)}) for texts in requests]
        return await asyncio.gather(*answers)


def texts_by_source(rises: dict[str, float]) -> dict[str, int]:
    counts = {
        source: int(rises.get(f'mlapi_texts_total{{model="project",source="{source}"}}', 0)) for source in SOURCES
    }
    return {source: count for source, count in counts.items() if count}


async def test_fifty_new_texts_wanted_by_two_hundred_requests_are_computed_once_each(service: ServiceProcess) -> None:
    texts = [f"wanted by everyone at once, number {number}" for number in range(50)]
    with service.counting() as rises:
        answers = await predict_all(service, [texts] * 200)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(answers[0].json()["predictions"]) == 50
    assert rises['mlapi_batch_texts_sum{model="project"}'] == 50
    counts = texts_by_source(rises)
    assert counts["model"] == 50
    assert counts["collapsed"] > 0
    assert sum(counts.values()) == 200 * 50
    winners = [
        rises.get(f'mlapi_predictions_total{{label="{label}",model="project"}}', 0)
        for label in ("NEGATIVE", "POSITIVE")
    ]
    assert sum(winners) == 200 * 50


async def test_hits_collapsed_and_model_are_all_texts_whatever_the_traffic(service: ServiceProcess) -> None:
    dice = random.Random(20)  # noqa: S311  a seed, so that each run sends the same
    pool = [f"one of the pool, number {number}" for number in range(120)]
    requests = [dice.choices(pool, k=dice.randint(1, 12)) for _ in range(150)]
    with service.counting() as rises:
        answers = []
        for wave in range(0, len(requests), 30):
            answers += await predict_all(service, requests[wave : wave + 30])
        refused = service.predict([""])
    assert refused.status_code == 422
    assert {answer.status_code for answer in answers} == {200}
    counts = texts_by_source(rises)
    assert set(counts) == set(SOURCES), "the traffic was meant to have some of each"
    assert sum(counts.values()) == sum(map(len, requests))
    assert rises['mlapi_batch_texts_sum{model="project"}'] == counts["model"]
    first_seen: dict[str, object] = {}
    for texts, answer in zip(requests, answers, strict=True):
        for text, prediction in zip(texts, answer.json()["predictions"], strict=True):
            assert first_seen.setdefault(text, prediction) == prediction


async def test_what_the_headers_say_adds_up_to_what_the_metrics_say(service: ServiceProcess) -> None:
    requests = [[f"said and counted {number % 7}", f"said and counted {number}"] for number in range(20)]
    with service.counting() as rises:
        answers = await predict_all(service, requests)
    said = dict.fromkeys(SOURCES, 0)
    for answer in answers:
        detail = answer.headers["cache-status"].partition('detail="')[2].rstrip('"')
        for item in detail.split():
            source, _, count = item.partition("=")
            said[source] += int(count)
    assert {source: count for source, count in said.items() if count} == texts_by_source(rises)
