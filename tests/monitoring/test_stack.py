"""The stack of one machine and the parts for Kubernetes agree with each other and with what they deploy."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitoring.render import COMPONENT
from tests.architecture.source_rules import ROOT
from tests.monitoring.queries import DASHBOARD_FILES, MONITORING, SCALED_OBJECT
from tests.programs import find_program

COMPOSE: Final = ROOT / "compose.yaml"
BASE: Final = ROOT / ".k8s" / "base"
LEARNING = ROOT / ".k8s" / "components" / "learning"
LAB = ROOT / ".k8s" / "components" / "lab"


def load(path: Path) -> Any:  # noqa: ANN401  whatever the file holds
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(COMPOSE)["services"]
    return found


def conforms(path: Path) -> bool:
    """Ask the Compose Specification's own implementation."""
    command = [find_program("compose-spec"), str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_compose_file_conforms_to_the_specification(tmp_path: Path) -> None:
    assert conforms(COMPOSE)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("depends_on", "depend_on"), encoding="utf-8")
    assert not conforms(wrong)


@pytest.mark.parametrize("name", services())
def test_an_image_is_pinned(name: str) -> None:
    service = services()[name]
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+(-[\w.]+)?$", service["image"])


def test_redis_is_the_one_of_the_cluster() -> None:
    (container,) = load(BASE / "deployment-redis.yaml")["spec"]["template"]["spec"]["containers"]
    assert services()["redis"]["image"] == container["image"]


@pytest.mark.parametrize("name", services())
def test_what_a_service_mounts_is_there_and_its_ports_stay_on_this_machine(name: str) -> None:
    for mount in services()[name].get("volumes", []):
        source, _, rest = mount.partition(":")
        assert (ROOT / source).exists()
        assert rest.endswith(":ro")
    assert all(port.startswith("127.0.0.1:") for port in services()[name].get("ports", []))


def test_prometheus_looks_at_services_that_exist() -> None:
    config = load(MONITORING / "prometheus.yaml")
    jobs = [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
    targets = [target for job in jobs for group in job["static_configs"] for target in group["targets"]]
    assert {target.partition(":")[0] for target in targets} == {"mlapi", "redis-exporter", "alertmanager"}
    assert {target.partition(":")[0] for target in targets} <= set(services())


@pytest.mark.parametrize("name", ["prometheus.yaml", "prometheus-kubernetes.yaml"])
def test_the_configuration_of_prometheus_is_valid(name: str) -> None:
    command = [find_program("promtool"), "check", "config", "--syntax-only", str(MONITORING / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if "field kubernetes_sd_configs not found" in said and not os.environ.get("CI"):
        pytest.skip("this promtool, such as Debian's, does not know Kubernetes: `make tools` builds one that does")
    assert done.returncode == 0, said


def test_both_ways_to_find_the_pods_name_the_same_ones() -> None:
    """The operator's selector, and the relabelling of a Prometheus without it."""
    monitor = load(COMPONENT / "service-monitor.yaml")["spec"]
    service = load(BASE / "service-mlapi.yaml")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]

    (job,) = load(MONITORING / "prometheus-kubernetes.yaml")["scrape_configs"]
    keep = next(rule for rule in job["relabel_configs"] if rule.get("action") == "keep")
    (expression,) = monitor["selector"]["matchExpressions"]
    components = {
        load(file)["metadata"]["labels"]["app.kubernetes.io/component"]
        for file in (BASE / "service-mlapi.yaml", LAB / "service-lab.yaml", LEARNING / "service-learn.yaml")
    }
    assert (expression["key"], expression["operator"]) == ("app.kubernetes.io/component", "In")
    assert set(expression["values"]) == components
    assert keep["regex"].split(";") == [
        service["metadata"]["labels"]["app.kubernetes.io/name"],
        f"({'|'.join(expression['values'])})",
        port["targetPort"],
    ]
    named = {rule["target_label"]: rule["source_labels"] for rule in job["relabel_configs"] if "target_label" in rule}
    assert set(named) == {"job", "namespace", "pod", "container"}
    meta = re.sub(r"\W", "_", monitor["jobLabel"])
    assert named["job"] == [f"__meta_kubernetes_pod_label_{meta}"]


def test_grafana_s_sidecar_finds_every_dashboard() -> None:
    maps = load(COMPONENT / "kustomization.yaml")["configMapGenerator"]
    assert sorted(file for found in maps for file in found["files"]) == [
        f"dashboards/{p.name}" for p in DASHBOARD_FILES
    ]
    for found in maps:
        assert found["options"] == {"disableNameSuffixHash": True, "labels": {"grafana_dashboard": "1"}}


class TestAutoscalingByCompute:
    """The ScaledObject keeps what the autoscaler by CPU that it replaces promised."""

    scaler: Final[dict[str, Any]] = load(SCALED_OBJECT)["spec"]
    replaced: Final[dict[str, Any]] = load(ROOT / ".k8s" / "overlays" / "prod" / "hpa-mlapi.yaml")["spec"]

    def test_the_bounds_and_the_pace_are_those_of_the_autoscaler_that_it_replaces(self) -> None:
        assert self.scaler["scaleTargetRef"]["name"] == self.replaced["scaleTargetRef"]["name"]
        assert self.scaler["minReplicaCount"] == self.replaced["minReplicas"]
        assert self.scaler["maxReplicaCount"] == self.replaced["maxReplicas"]
        behavior = self.scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior == self.replaced["behavior"]

    def test_a_lost_prometheus_does_not_look_like_a_quiet_night(self) -> None:
        triggers = [trigger for trigger in self.scaler["triggers"] if trigger["type"] == "prometheus"]
        assert len(triggers) == 2
        for trigger in triggers:
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            # KEDA's fallback works with averages only.
            assert trigger["metricType"] == "AverageValue"
        assert self.scaler["fallback"]["behavior"] == "currentReplicasIfHigher"
        assert self.replaced["minReplicas"] < self.scaler["fallback"]["replicas"] <= self.replaced["maxReplicas"]

    def test_compute_may_take_seventy_percent_of_what_a_pod_requests(self) -> None:
        (container,) = load(BASE / "deployment-mlapi.yaml")["spec"]["template"]["spec"]["containers"]
        requested = float(container["resources"]["requests"]["cpu"].removesuffix("m")) / 1000
        compute = next(trigger for trigger in self.scaler["triggers"] if trigger["name"] == "compute")
        assert float(compute["metadata"]["threshold"]) == pytest.approx(0.7 * requested)
