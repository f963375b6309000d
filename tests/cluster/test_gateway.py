"""The gateway loses one of its two Envoys under load, in an orderly way and in none, and no request is lost."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.cluster import gateway
from tests.cluster.arrivals import Arrivals
from tests.cluster.conftest import RESTRICTED, Images, Report
from tests.cluster.gateway import ENVOY, HOST, Gateway
from tests.cluster.installation import install, replicas
from tests.cluster.kubectl import Kubectl, KubectlError, Object
from tests.cluster.namespaces import namespace
from tests.cluster.service import API_SERVICE, Service
from tests.cluster.waiting import until, wait

RATE: Final = 20
SETTLE_S: Final = 10.0
READY_S: Final = 150.0

pytestmark = pytest.mark.skipif(not os.environ.get("CLUSTER_CANARY"), reason="CLUSTER_CANARY=1 asks for it: Contour")


def routes(own: str) -> Object:
    """A way to the service, as the component `contour-canary` has it, with one version behind it."""
    return {
        "apiVersion": "projectcontour.io/v1",
        "kind": "HTTPProxy",
        "metadata": {"name": "mlapi", "namespace": own},
        "spec": {
            "virtualhost": {"fqdn": HOST},
            "routes": [
                {
                    "conditions": [{"prefix": "/project"}],
                    "timeoutPolicy": {"response": "infinity"},
                    "retryPolicy": {"count": 2, "retryOn": ["connect-failure", "refused-stream", "reset"]},
                    "services": [{"name": API_SERVICE, "port": 8000}],
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def way_in(images: Images) -> Iterator[tuple[Gateway, Service]]:
    """The dev overlay with two pods, behind the gateway."""
    with ExitStack() as stack:
        found = stack.enter_context(gateway.running())
        own = stack.enter_context(namespace("gateway", RESTRICTED))
        service = install(own, images.service, changes=[replicas(2)])
        own.apply(gateway.as_text(routes(own.namespace)))
        until(lambda: gateway.answers(found.url), "an answer through the gateway", READY_S)
        yield found, service


def envoys(kubectl: Kubectl) -> list[str]:
    """The Envoys that are ready."""
    found = Service(kubectl).ready_pods(ENVOY)
    return [pod["metadata"]["name"] for pod in found]


def test_a_node_that_is_drained_takes_one_envoy_at_a_time(way_in: tuple[Gateway, Service], report: Report) -> None:
    found, _ = way_in
    first, second = envoys(found.kubectl)
    with Arrivals(f"{found.url}/predict", rate=RATE, host=HOST) as arrivals:
        wait(SETTLE_S)
        evict(found.kubectl, first)
        with pytest.raises(KubectlError, match="disruption budget"):
            evict(found.kubectl, second)
        until(lambda: first not in envoys(found.kubectl), "the evicted Envoy gone", READY_S)
        until(lambda: len(envoys(found.kubectl)) == 2, "two Envoys", READY_S)
        wait(SETTLE_S)
    report(f"an Envoy evicted, the other one protected by the budget: {arrivals.summary()}")
    assert arrivals.failures == []


def test_an_envoy_that_is_killed_is_noticed_by_nobody_who_asks_again(
    way_in: tuple[Gateway, Service], report: Report
) -> None:
    """Nothing can save what is on the wire to a process that dies: clients ask once more for what got no answer."""
    found, _ = way_in
    victim = envoys(found.kubectl)[0]
    with Arrivals(f"{found.url}/predict", rate=RATE, host=HOST, retries=5) as arrivals:
        wait(SETTLE_S)
        killed = time.time()
        found.kubectl.run("delete", "pod", victim, "--grace-period=0", "--force")
        until(lambda: len(envoys(found.kubectl)) == 2, "two Envoys", READY_S)
        wait(SETTLE_S)
        answers = [answer for answer in arrivals.answers if answer.at >= killed]
    again = [answer for answer in answers if answer.again]
    report(f"an Envoy killed: {arrivals.summary()}; {len(again)} of {len(answers)} requests since then asked again")
    assert arrivals.failures == []


def test_a_pod_of_the_service_that_is_killed_costs_no_request(way_in: tuple[Gateway, Service], report: Report) -> None:
    """Here it is the gateway that asks again: another pod, within its budget."""
    found, service = way_in
    victim = service.ready_pods()[0]["metadata"]["name"]
    with Arrivals(f"{found.url}/predict", rate=RATE, host=HOST) as arrivals:
        wait(SETTLE_S)
        service.kubectl.run("delete", "pod", victim, "--grace-period=0", "--force")
        until(lambda: len(service.ready_pods()) == 2, "two pods", READY_S)
        wait(SETTLE_S)
    report(f"a pod of the service killed: {arrivals.summary()}")
    assert arrivals.failures == []


def evict(kubectl: Kubectl, pod: str) -> None:
    """Ask for a pod's place, as `kubectl drain` does."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": kubectl.namespace},
    }
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    kubectl.run("create", "--raw", path, "--filename", "-", stdin=gateway.as_text(eviction))
