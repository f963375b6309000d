"""`deploy.sh` on a real cluster: from nothing to answers, and again; and how fast a pod starts."""

import json
import os
import time
from statistics import median
from typing import Final

import pytest

from tests.cluster.conftest import Images, Report
from tests.cluster.deploy_script import deploy
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.service import API, Service, cache_status, condition_time
from tests.cluster.waiting import until

STARTS: Final = 5
START_S: Final = 90.0
READY_S: Final = 10
"""The service level. What a start costs is compared by the benchmark, on machines that do nothing else."""

OF_IDLE: Final = 3
"""How many times as long as a pod that does nothing it may take: slow machines are slow at both."""

IDLE: Final = "idle"


@pytest.fixture(scope="module")
def service(kubectl: Kubectl) -> Service:
    return Service(kubectl)


def test_from_nothing_to_answers(service: Service, images: Images, report: Report) -> None:
    began = time.monotonic()
    done = deploy(service.kubectl, images.service)
    report(f"./deploy.sh dev: exit code {done.code} after {time.monotonic() - began:.0f} s")
    assert done.code == 0, done.said
    assert "the second answer: a hit" in done.said
    text = ["From up to answers."]
    first, second = service.predict(text), service.predict(text)
    report(f"first answer:  {cache_status(first)} {first.text}")
    report(f"second answer: {cache_status(second)} {second.text}")
    assert "fwd=miss" in cache_status(first)
    assert "; hit" in cache_status(second)
    assert first.content == second.content


def test_deploying_again_changes_nothing(service: Service, images: Images) -> None:
    before = [pod["metadata"]["uid"] for pod in service.pods()]
    done = deploy(service.kubectl, images.service)
    assert done.code == 0, done.said
    assert [pod["metadata"]["uid"] for pod in service.pods()] == before


def test_a_pod_is_ready_soon_after_it_was_scheduled(service: Service, report: Report) -> None:
    """Compared with a pod that has the same init containers and does nothing then: that much is the cluster's own."""
    # In turn, so that what else the machine does slows both.
    idle, started = zip(*((start_idle_pod(service), restart_pod(service)) for _ in range(STARTS)), strict=True)
    report(f"scheduled → ready: service {[*started]} s, idle pod {[*idle]} s; load {os.getloadavg()[0]:.1f}")
    assert median(started) < READY_S
    assert median(started) <= OF_IDLE * median(idle)


def restart_pod(service: Service) -> int:
    """Delete the service's pod; return how many seconds after its scheduling the new one was ready."""
    (old,) = service.pods()
    service.kubectl.run("delete", "pod", old["metadata"]["name"], "--wait=false")

    def ready() -> Object | None:
        found = [pod for pod in service.ready_pods() if pod["metadata"]["uid"] != old["metadata"]["uid"]]
        return found[0] if found else None

    new = until(ready, "a new pod ready", START_S)
    service.wait_until_only_current_pods()
    return seconds_to_ready(new)


def start_idle_pod(service: Service) -> int:
    """Run a pod like the service's whose main container only sleeps; return its seconds from scheduled to ready."""
    template = service.kubectl.get("deployment", API)["spec"]["template"]
    (main,) = template["spec"]["containers"]
    for field in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        main.pop(field, None)
    main["command"], main["args"] = ["sleep"], ["3600"]
    template["spec"]["terminationGracePeriodSeconds"] = 0
    metadata = {"name": IDLE, "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    service.kubectl.apply(json.dumps(pod))
    try:
        limit = f"--timeout={START_S:.0f}s"
        service.kubectl.run("wait", f"pod/{IDLE}", "--for=condition=Ready", limit, timeout_s=START_S + 30)
        return seconds_to_ready(service.kubectl.get("pod", IDLE))
    finally:
        service.kubectl.run("delete", "pod", IDLE)


def seconds_to_ready(pod: Object) -> int:
    """Whole seconds between a pod's scheduling and its readiness."""
    scheduled, ready = condition_time(pod, "PodScheduled"), condition_time(pod, "Ready")
    assert scheduled is not None
    assert ready is not None
    return int((ready - scheduled).total_seconds())
