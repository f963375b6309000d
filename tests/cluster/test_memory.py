"""The worst input that is accepted does not bring the API's pod to its memory limit."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.cluster.cgroup import Usage, look
from tests.cluster.conftest import Images, Report
from tests.cluster.installation import install
from tests.cluster.kubectl import Kubectl
from tests.cluster.service import API, Service
from tests.cluster.waiting import wait

DURATION_S = float(os.environ.get("CLUSTER_MEMORY_S", "60"))
MIB = 1024 * 1024

WORDS = 510
"""With the two tokens around them, 512."""

DISTINCT = 4
BODY_BYTES = 8 * MIB
CLIENTS = 3
"""Of each kind."""


def many_distinct(client: int, turn: int) -> list[str]:
    """A few texts of 512 tokens, all of them new: as many as a slow model can do in time, with those of the others."""
    return [f"{client} {turn} {number} " + "a " * (WORDS - 8) for number in range(DISTINCT)]


def largest_body(client: int, turn: int) -> list[str]:
    """As many texts of 512 tokens as a body can hold: accepted when they are the same, since one is computed."""
    text = f"{client} {turn} " + "b " * (WORDS - 4)
    return [text] * ((BODY_BYTES - 100) // (len(text) + len('"",')))


@contextmanager
def load(url: str, statuses: Counter[str]) -> Iterator[None]:
    """Send both kinds of request over and over, from several clients each; count how each was answered."""
    over = threading.Event()

    def run(make: Callable[[int, int], list[str]], client: int) -> None:
        turn = 0
        with httpx.Client(timeout=60) as connection:
            while not over.is_set():
                turn += 1
                try:
                    response = connection.post(f"{url}/bulk-predict", json={"text": make(client, turn)})
                    what = str(response.status_code)
                except httpx.HTTPError as error:
                    what = repr(error)
                statuses[f"{make.__name__} {what}"] += 1

    threads = [
        threading.Thread(target=run, args=(make, client))
        for make in (many_distinct, largest_body)
        for client in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images) -> Service:
    return install(kubectl, images.service)


@pytest.mark.timeout(DURATION_S + 600)
def test_memory_stays_below_the_limit(service: Service, report: Report) -> None:
    (pod,) = service.ready_pods()
    name = pod["metadata"]["name"]
    idle = look(service.kubectl, name, API)
    looks: list[Usage] = []
    statuses: Counter[str] = Counter()
    end = time.monotonic() + DURATION_S
    with load(service.url, statuses):
        while time.monotonic() < end:
            looks.append(look(service.kubectl, name, API))
            wait(2.0)
    last = look(service.kubectl, name, API)
    working_set = max(usage.working_set for usage in looks)
    report(f"idle {idle.working_set / MIB:.0f} MiB, limit {last.limit / MIB:.0f} MiB")
    report(
        f"worst input for {DURATION_S:.0f} s: working set at most {working_set / MIB:.0f} MiB "
        f"in {len(looks)} looks, resident at most {last.peak_resident / MIB:.0f} MiB"
    )
    periods = last.periods - idle.periods
    report(f"throttled in {last.throttled - idle.throttled} of {periods} periods of the processor's quota")
    report(f"answers: {dict(sorted(statuses.items()))}")
    assert statuses["many_distinct 200"]
    assert statuses["largest_body 200"]
    assert max(working_set, last.peak_resident) < last.limit
    assert last.oom_kills == 0
    (status,) = [
        found for found in service.kubectl.get("pod", name)["status"]["containerStatuses"] if found["name"] == API
    ]
    assert status["restartCount"] == 0
