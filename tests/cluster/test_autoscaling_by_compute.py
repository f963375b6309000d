"""Scaling by the model's work, with a real KEDA and Prometheus, beside scaling by the processor: the same traffic."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.cluster import keda
from tests.cluster.arrivals import Arrivals
from tests.cluster.conftest import RESTRICTED, Images, Report
from tests.cluster.installation import container, install
from tests.cluster.kubectl import Object
from tests.cluster.namespaces import namespace
from tests.cluster.replica_count import watched
from tests.cluster.service import API, Service
from tests.cluster.waiting import until, wait
from tests.programs import find_program
from tools.monitor import running_prometheus

COMPONENT: Final = "autoscaling-by-compute"
SCRAPING: Final = ROOT / "monitoring/prometheus-kubernetes.yaml"
SCALED_OBJECT: Final = ROOT / f".k8s/components/{COMPONENT}/scaled-object.yaml"
PROMETHEUS_PORT: Final = 9090

RATE: Final = 10
MISS_WORDS: Final = 20
KNOWN: Final = 0.05
UNKNOWN: Final = 0.8
CALM_S: Final = 60.0
FALLEN_S: Final = 150.0
MEASURED_S: Final = 180.0
LEAST: Final = 2
MOST: Final = 4

REQUEST_MILLICORES: Final = 150
"""In place of the overlay's 400: the test's node has two processors, for itself and for the load, too."""

SHARE: Final = 0.7
"""Of the request, at which both scale out."""

pytestmark = pytest.mark.skipif(
    not os.environ.get("CLUSTER_KEDA"), reason="CLUSTER_KEDA=1 asks for it: KEDA takes ten minutes to compile"
)


def scaled_object(namespace: str) -> Object:
    """A change: the component's triggers with this installation's Prometheus, namespace and request."""
    triggers: list[dict[str, Any]] = yaml.safe_load(SCALED_OBJECT.read_text(encoding="utf-8"))["spec"]["triggers"]
    for trigger in triggers:
        metadata = trigger["metadata"] = dict(trigger["metadata"])
        if trigger["type"] == "prometheus":
            metadata["serverAddress"] = f"http://127.0.0.1:{PROMETHEUS_PORT}"
            metadata["query"] = metadata["query"].replace('namespace="mlapi"', f'namespace="{namespace}"')
        if trigger["name"] == "compute":
            metadata["threshold"] = f"{SHARE * REQUEST_MILLICORES / 1000:g}"
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": API},
        "spec": {"maxReplicaCount": MOST, "triggers": triggers},
    }


def horizontal_pod_autoscaler() -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": API},
        "spec": {"maxReplicas": MOST},
    }


def request() -> Object:
    return container(resources={"requests": {"cpu": f"{REQUEST_MILLICORES}m"}})


@contextmanager
def prometheus(folder: Path, scraped: str) -> Iterator[str]:
    """Run a Prometheus on the node that scrapes one namespace's pods as `monitoring` says; yields its URL."""
    config = yaml.safe_load(SCRAPING.read_text(encoding="utf-8"))
    for job in config["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            discovery |= {"kubeconfig_file": os.environ["KUBECONFIG"], "namespaces": {"names": [scraped]}}
    with running_prometheus(find_program("prometheus"), config, folder, PROMETHEUS_PORT) as url:
        yield url


def has_values(url: str, triggers: Sequence[Object]) -> bool:
    """Whether a Prometheus answers all that KEDA will ask it: without an answer KEDA falls back to four pods."""
    queries = [trigger["metadata"]["query"] for trigger in triggers if trigger["type"] == "prometheus"]
    assert queries
    answers = [httpx.get(f"{url}/api/v1/query", params={"query": query}).json() for query in queries]
    return all(answer["data"]["result"] for answer in answers)


def measured(service: Service) -> Sequence[str]:
    """What the autoscaler knows of each of its metrics; empty while it lacks one."""
    (found,) = service.kubectl.list("horizontalpodautoscalers")
    metrics = found["status"].get("currentMetrics") or []
    values = [
        value["current"].get("averageValue") or value["current"].get("averageUtilization")
        for metric in metrics
        for value in (metric.get("external"), metric.get("resource"), metric.get("containerResource"))
        if value
    ]
    return [str(value) for value in values] if len(values) == len(found["spec"]["metrics"]) and all(values) else []


def watch_the_hit_ratio_fall(service: Service, by: str, report: Report) -> None:
    """Send the traffic, and say what became of it; fail when pods come too early, too late, or a request fails."""
    until(lambda: measured(service), "the autoscaler's first measurement", MEASURED_S)
    url = f"{service.url}/predict"
    with watched(service.kubectl, API) as pods:
        began = time.monotonic()
        with Arrivals(url, rate=RATE, miss_share=KNOWN, miss_words=MISS_WORDS) as calm:
            wait(CALM_S)
        report(f"by {by}: {1 - KNOWN:.0%} known: {measured(service)}; replicas {pods}; {calm.summary()}")
        assert pods.since(0) == [LEAST], "more pods while the cache does the work"
        fell = time.monotonic() - began
        with Arrivals(url, rate=RATE, miss_share=UNKNOWN, miss_words=MISS_WORDS) as fallen:
            wait(FALLEN_S)
        report(f"by {by}: {1 - UNKNOWN:.0%} known: {measured(service)}; replicas {pods}; {fallen.summary()}")
        first = next((at for at, count in pods.changes if at >= fell and count > LEAST), None)
        assert first is not None, "no more pods"
        report(f"by {by}: the first of more pods {first - fell:.0f} s after the hit ratio fell")
    assert calm.failures + fallen.failures == []


def test_by_the_processor(images: Images, istio_kinds: None, report: Report) -> None:
    del istio_kinds
    with namespace("processor", RESTRICTED) as own:
        changes = [horizontal_pod_autoscaler(), request()]
        service = install(own, images.service, source="overlays/prod", changes=changes)
        watch_the_hit_ratio_fall(service, "processor", report)


def test_by_compute(images: Images, istio_kinds: None, report: Report, tmp_path: Path) -> None:
    del istio_kinds
    with (
        keda.running(tmp_path),
        namespace("compute", RESTRICTED) as own,
        prometheus(tmp_path, own.namespace) as url,
    ):
        install(own, images.service, source="overlays/prod", changes=[horizontal_pod_autoscaler(), request()])
        scaled = scaled_object(own.namespace)
        until(lambda: has_values(url, scaled["spec"]["triggers"]), "values of the pods in Prometheus", MEASURED_S)
        # The component takes it out of the manifests; what was applied before stays.
        own.run("delete", "horizontalpodautoscaler", API)
        changes = [scaled, request()]
        service = install(own, images.service, source="overlays/prod", components=[COMPONENT], changes=changes)
        watch_the_hit_ratio_fall(service, "compute", report)
