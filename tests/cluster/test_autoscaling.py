"""The prod overlay's autoscaler: out when the model has to work, steady at a steady rate, in again afterwards."""

import time

import pytest

from tests.cluster.arrivals import Arrivals
from tests.cluster.conftest import Images, Report
from tests.cluster.installation import container, install
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.replica_count import rising, watched
from tests.cluster.service import API, Service
from tests.cluster.waiting import until, wait

RATE = 8
MISS_WORDS = 60
"""Of four words each: more than two pods are to have even with AMX, and less than the node can do without int8."""

STEADY_S = 60.0
OUT_S = 180.0
IN_S = 300.0
METRICS_S = 180.0
LEAST = 2
MOST = 4

CALM_S = 30
"""In place of the overlay's five minutes before a scale-in, and half of it in place of the minute between two pods: a
test cannot wait that long. All else of the autoscaler is the overlay's."""

REQUEST = "50m"
"""In place of the overlay's request: the test's node has two processors, for itself and for the load, too."""


def autoscaler() -> Object:
    policies = [{"type": "Pods", "value": 1, "periodSeconds": CALM_S // 2}]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": API},
        "spec": {
            "maxReplicas": MOST,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": CALM_S, "policies": policies}},
        },
    }


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images, istio_kinds: None) -> Service:
    del istio_kinds
    changes = [autoscaler(), container(resources={"requests": {"cpu": REQUEST}})]
    service = install(kubectl, images.service, source="overlays/prod", changes=changes)
    until(lambda: targets(service), "the autoscaler's first measurement", METRICS_S)
    until(lambda: len(service.ready_pods()) == LEAST, "the fewest pods", IN_S)
    return service


def targets(service: Service) -> str:
    """What the autoscaler measured, as a share of the requests; empty while it has not."""
    metrics = service.kubectl.get("hpa", API)["status"].get("currentMetrics") or []
    return ", ".join(
        f"{metric['resource']['name']} {metric['resource']['current']['averageUtilization']} %"
        for metric in metrics
        if metric.get("resource", {}).get("current", {}).get("averageUtilization") is not None
    )


def test_out_under_misses_and_in_afterwards(service: Service, report: Report) -> None:
    url = f"{service.url}/predict"
    with watched(service.kubectl, API) as pods:
        began = time.monotonic()
        with Arrivals(url, rate=RATE, miss_share=1.0, miss_words=MISS_WORDS) as misses:
            until(lambda: len(service.ready_pods()) > LEAST, "more pods", OUT_S)
            report(f"misses: {targets(service)}; replicas: {pods}")
            steady = time.monotonic() - began
            wait(STEADY_S)
            assert rising(pods.since(steady)), f"flapping at a steady rate: {pods}"
            report(f"{STEADY_S:.0f} s later: {targets(service)}; replicas: {pods}")
        calm = time.monotonic() - began
        with Arrivals(url, rate=RATE, miss_share=0.0) as hits:
            until(lambda: pods.now == LEAST, "as few pods as before", IN_S)
            service.wait_until_only_current_pods()
            wait(STEADY_S / 2)
        assert rising(pods.since(calm)[::-1]), f"flapping at a steady rate: {pods}"
        report(f"hits only: {targets(service)}; replicas: {pods}")
    report(f"misses: {misses.summary()}")
    report(f"hits: {hits.summary()}")
    assert misses.failures == []
    assert hits.failures == []
