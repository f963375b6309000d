"""More than the model can do, large requests beside a flow of small ones: done in time, or refused at the door."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import httpx
import pytest

from tests.e2e.paced_service import TOKENS_PER_S
from tests.service_process import ServiceProcess

_TRAFFIC_S: Final = 3.0
_DEADLINE_S: Final = 2.0
_TOKENS: Final = 16  # of each text, with padding


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(
        module="tests.e2e.paced_service",
        engine="fake",
        threads="2",
        max_batch_tokens="256",
        deadline_s=f"{_DEADLINE_S:g}",
    ) as process:
        yield process


async def send(client: httpx.AsyncClient, name: str, texts: int, load: float) -> Sequence[httpx.Response]:
    """Send requests at regular times that come to so much of what the model can do."""
    every_s = texts * _TOKENS / (load * TOKENS_PER_S)
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def one(number: int) -> httpx.Response:
        due: asyncio.Future[None] = loop.create_future()
        loop.call_at(started + number * every_s, due.set_result, None)
        await due
        items = [f"request {number} of the {name} ones, text {place} of all" for place in range(texts)]
        return await client.post("/project/predict", json={"text": items})

    return await asyncio.gather(*map(one, range(int(_TRAFFIC_S / every_s))))


def waited_s(response: httpx.Response) -> float:
    """Return for how long the last of a request's texts waited for the model, as the service measured it."""
    found = re.search(r"queue;dur=([\d.]+)", response.headers["server-timing"])
    assert found is not None
    return float(found[1]) / 1000


async def test_who_is_let_in_is_answered_in_time_and_small_requests_are_answered_soon(service: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=30.0) as client:
        small, large = await asyncio.gather(send(client, "small", 4, load=0.45), send(client, "large", 64, load=1.5))
    statuses = [response.status_code for response in large]
    assert set(statuses) == {200, 503}, "who is not refused is not late"
    assert all(1 <= int(response.headers["retry-after"]) <= 3 for response in large if response.status_code == 503)
    assert statuses.count(200) * 64 * _TOKENS >= 0.3 * TOKENS_PER_S * _TRAFFIC_S, "the model was kept busy"
    assert {response.status_code for response in small} == {200}
    done_s = [waited_s(response) for response in large if response.status_code == 200]
    assert median(map(waited_s, small)) < median(done_s) / 2
