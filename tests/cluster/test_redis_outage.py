"""Redis may be deleted, stay away and come back: answers keep coming, and hits return by themselves."""

import time
from datetime import datetime

import pytest

from tests.cluster.arrivals import Arrivals
from tests.cluster.conftest import Images, Report
from tests.cluster.installation import install, replicas, settings
from tests.cluster.kubectl import Kubectl
from tests.cluster.service import API, REDIS, Service, condition_time
from tests.cluster.waiting import until, wait

RATE = 20
PATIENCE_MS = 250
USUAL_S = 10
ABSENT_S = 60
HITS_RETURN_S = 60
NOTICED_S = 60
HIT = 0.9
"""The share of known texts that have to come from the cache for it to count as working."""

BOUNDED_WAIT_S = 10
"""`--timeout` of the init container in `deployment-mlapi.yaml`."""

START_S = 10
"""What its process may take to start on a busy machine."""


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images) -> Service:
    """Two pods without a tier of their own: what hits, hits in Redis.

    With more patience than the default: on a busy machine an answer of Redis may take longer than 20 ms, and that it is
    slow is not what is tested here.
    """
    patient = settings(l1_bytes="0", redis_timeout_ms=str(PATIENCE_MS))
    return install(kubectl, images.service, changes=[replicas(2), patient])


def wait_for_hits(arrivals: Arrivals) -> float:
    """Wait until known texts come from the cache again; return how many seconds that took."""
    began = time.time()

    def hitting() -> bool:
        return arrivals.hit_share(max(began, time.time() - 3)) >= HIT

    until(hitting, "hits", HITS_RETURN_S)
    return time.time() - began


def without_redis(service: Service) -> bool:
    """Ask for a prediction, which must come; return whether the service knows by then that its cache is not whole.

    It notices with a request that Redis has gone, and with a request that it is back.
    """
    assert service.predict([f"Redis is not there, {time.time_ns()}."]).status_code == 200
    return bool(service.health()["cache"]["status"] == "degraded")


def seconds_between(earlier: str, later: str) -> int:
    return int((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds())


def test_answers_keep_coming_without_redis_and_hits_return(service: Service, report: Report) -> None:
    with Arrivals(f"{service.url}/predict", rate=RATE) as arrivals:
        wait_for_hits(arrivals)
        usual = time.time()
        wait(USUAL_S)
        report(f"with Redis: {arrivals.hit_share(usual):.0%} of known texts are hits")

        (pod,) = service.pods(REDIS)
        service.kubectl.run("delete", "pod", pod["metadata"]["name"], "--wait=false")
        service.wait_for_rollout(REDIS)
        report(f"Redis's pod deleted: hits again {wait_for_hits(arrivals):.1f} s after the new one was ready")

        service.kubectl.scale(REDIS, 0)
        service.wait_until_none(REDIS)
        gone = time.time()
        wait(ABSENT_S)
        # A pod that none of the load's connections leads to has not noticed.
        until(lambda: without_redis(service), "noticing that Redis is not there", NOTICED_S)
        report(f"Redis scaled to zero for {ABSENT_S} s: {arrivals.hit_share(gone):.0%} of known texts were hits")

        service.kubectl.scale(REDIS, 1)
        service.wait_for_rollout(REDIS)
        report(f"Redis back: hits again {wait_for_hits(arrivals):.1f} s after it was ready")
        until(lambda: service.health()["cache"]["status"] == "ok", "a healthy cache", HITS_RETURN_S)
    report(arrivals.summary())
    assert arrivals.failures == []


def test_pods_start_without_redis_within_the_bounded_wait(service: Service, report: Report) -> None:
    service.kubectl.scale(REDIS, 0)
    service.wait_until_none(REDIS)
    service.kubectl.run("rollout", "restart", f"deployment/{API}")
    service.wait_for_rollout()
    until(lambda: without_redis(service), "noticing that Redis is not there", NOTICED_S)
    ready_pods = service.ready_pods()
    assert ready_pods
    for pod in ready_pods:
        (start,) = pod["status"]["initContainerStatuses"]
        over = start["state"]["terminated"]
        waited = seconds_between(over["startedAt"], over["finishedAt"])
        scheduled, ready = condition_time(pod, "PodScheduled"), condition_time(pod, "Ready")
        report(
            f"started without Redis: {start['name']} took {waited} s, scheduled {scheduled}, ready {ready}: degraded"
        )
        assert over["exitCode"] == 0
        assert waited <= BOUNDED_WAIT_S + START_S
    service.kubectl.scale(REDIS, 1)
    service.wait_for_rollout(REDIS)
    until(lambda: not without_redis(service), "a healthy cache", HITS_RETURN_S)
