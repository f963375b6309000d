"""What refers to something else finds it: selectors, ports, probes, scalers, budgets and routes."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mlapi.api.lifecycle import Lifecycle
from mlapi.api.ops import cluster_routes
from mlapi.settings import LAB_BUNDLE, read_settings
from tests.architecture.source_rules import ROOT
from tests.manifests.stacks import BASE, COMPONENT, DEV, PROD, STACKS, WITH_LAB, Object, Stack, containers, pod_template

each_stack = pytest.mark.parametrize("stack", STACKS, ids=str)
with_gateway = pytest.mark.parametrize(
    "stack",
    [stack for stack in STACKS if stack.overlay == PROD.overlay and "contour-canary" not in stack.components],
    ids=str,
)

PROBES = {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def selects(selector: Mapping[str, str], workload: Object) -> bool:
    labels: Mapping[str, str] = pod_template(workload)["metadata"]["labels"]
    return selector.items() <= labels.items()


def ports(workload: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for found in containers(workload) for port in found.get("ports", [])}


@each_stack
def test_every_object_is_there_once_and_carries_the_labels(stack: Stack) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in stack.objects]
    assert len(names) == len(set(names))
    for workload in stack.of_kind("Deployment"):
        labels = pod_template(workload)["metadata"]["labels"]
        wanted = ("name", "component", "instance", "part-of", "managed-by")
        assert [name for name in wanted if f"app.kubernetes.io/{name}" not in labels] == []


@each_stack
def test_a_deployment_selects_its_own_pods_and_no_others(stack: Stack) -> None:
    for workload, other in itertools.product(stack.of_kind("Deployment"), repeat=2):
        assert selects(workload["spec"]["selector"]["matchLabels"], other) == (workload is other)


@each_stack
def test_a_service_leads_to_one_deployment_and_to_a_port_of_it(stack: Stack) -> None:
    for service in stack.of_kind("Service"):
        (workload,) = (found for found in stack.of_kind("Deployment") if selects(service["spec"]["selector"], found))
        (port,) = service["spec"]["ports"]
        assert ports(workload)[port["targetPort"]] == port["port"]


@each_stack
def test_a_service_has_addresses_of_all_families_that_the_cluster_has(stack: Stack) -> None:
    for service in stack.of_kind("Service"):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert "ipFamilies" not in service["spec"]


@each_stack
def test_pods_are_spread_among_their_like(stack: Stack) -> None:
    for workload in stack.models:
        constraints = pod_template(workload)["spec"]["topologySpreadConstraints"]
        assert [constraint["topologyKey"] for constraint in constraints] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        for constraint in constraints:
            assert constraint["labelSelector"] == workload["spec"]["selector"]


@each_stack
def test_the_port_and_the_probes_are_those_of_the_service(stack: Stack) -> None:
    process = cluster_routes(Lifecycle(), CollectorRegistry())
    routes = {route.path for route in process.routes}  # type: ignore[attr-defined]  # each is an APIRoute
    for workload in stack.models:
        assert ports(workload) == {"http": read_settings({}).port}
        (container,) = pod_template(workload)["spec"]["containers"]
        for name, path in PROBES.items():
            assert container[name]["httpGet"] == {"path": path, "port": "http"}
            assert path in routes


@each_stack
def test_the_api_finds_redis(stack: Stack) -> None:
    config = next(found["data"] for found in stack.of_kind("ConfigMap") if "MLAPI_REDIS_URL" in found["data"])
    host, _, port = config["MLAPI_REDIS_URL"].removeprefix("redis://").partition("/")[0].partition(":")
    if "external-redis" not in stack.components:
        assert stack.find("Service", host)["spec"]["ports"][0]["port"] == int(port)


@each_stack
def test_a_disruption_takes_one_pod_and_leaves_one_at_the_floor(stack: Stack) -> None:
    for workload in stack.models:
        (budget,) = (
            found
            for found in stack.of_kind("PodDisruptionBudget")
            if selects(found["spec"]["selector"]["matchLabels"], workload)
        )
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]
        for scaler in scalers(stack, workload):
            assert scaler["spec"]["minReplicas"] - budget["spec"]["maxUnavailable"] >= 1


def scalers(stack: Stack, workload: Object) -> list[Object]:
    return [
        found
        for found in stack.of_kind("HorizontalPodAutoscaler")
        if found["spec"]["scaleTargetRef"]
        == {"apiVersion": workload["apiVersion"], "kind": workload["kind"], "name": workload["metadata"]["name"]}
    ]


def test_production_scales_by_processor_and_memory_and_applying_does_not_undo_it() -> None:
    workload = PROD.find("Deployment", "mlapi")
    (scaler,) = scalers(PROD, workload)
    targets: dict[str, Any] = {
        metric["resource"]["name"]: metric["resource"]["target"] for metric in scaler["spec"]["metrics"]
    }
    assert targets["cpu"] == {"type": "Utilization", "averageUtilization": 70}
    assert targets["memory"] == {"type": "Utilization", "averageUtilization": 90}
    behavior = scaler["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
    assert "replicas" not in workload["spec"]


@with_gateway
def test_the_gateway_leads_to_services_that_exist(stack: Stack) -> None:
    (routes,) = stack.of_kind("VirtualService")
    for route in routes["spec"]["http"]:
        assert route["retries"]["retryOn"] == "connect-failure,refused-stream"
        if "delegate" in route:
            assert route["delegate"]["name"] == stack.of_kind("Canary")[0]["spec"]["service"]["name"]
            continue
        assert sum(target["weight"] for target in route["route"]) == 100
        for target in route["route"]:
            service = stack.find("Service", target["destination"]["host"])
            assert target["destination"]["port"]["number"] == service["spec"]["ports"][0]["port"]
            assert [rule for rule in stack.of_kind("DestinationRule") if rule["spec"]["host"] == service_name(service)]


def service_name(service: Object) -> str:
    name: str = service["metadata"]["name"]
    return name


def test_the_gateway_serves_the_root_path_and_waits_longer_than_the_service() -> None:
    (routes,) = PROD.of_kind("VirtualService")
    http = routes["spec"]["http"]
    defaults = read_settings({})
    for root, service, bulk, single in (
        (defaults.root_path, "mlapi-service", *http[:2]),
        ("/lab", "lab-service", *http[2:]),
    ):
        assert bulk["match"] == [{"uri": {"prefix": f"{root}/bulk-predict"}}]
        assert "timeout" not in bulk
        assert single["match"] == [{"uri": {"prefix": f"{root}/"}}, {"uri": {"exact": root}}]
        assert float(single["timeout"].removesuffix("s")) > defaults.deadline_s
        assert {target["destination"]["host"] for route in (bulk, single) for target in route["route"]} == {service}


JUDGED = [Stack(PROD.overlay, ("canary", *more)) for more in ((), ("contour-canary",), ("blue-green",))]


@pytest.mark.parametrize("stack", JUDGED, ids=str)
def test_a_new_version_is_judged_and_asks_where_there_is_an_answer(stack: Stack) -> None:
    (canary,) = stack.of_kind("Canary")
    spec = canary["spec"]
    for reference in (spec["targetRef"], spec["autoscalerRef"]):
        assert stack.find(reference["kind"], reference["name"])["apiVersion"] == reference["apiVersion"]
    # Flagger makes it, with one for each version; theirs would be undone each time that ours is applied.
    name = spec["service"]["name"]
    assert name == "mlapi-service"
    assert name not in {service_name(found) for found in stack.of_kind("Service")}
    (container,) = pod_template(stack.find("Deployment", "mlapi"))["spec"]["containers"]
    (port,) = (found for found in container["ports"] if found["name"] == spec["service"]["targetPort"])
    assert port["containerPort"] == spec["service"]["port"]
    measured = {found["metadata"]["name"] for found in stack.of_kind("MetricTemplate")}
    assert {metric["templateRef"]["name"] for metric in spec["analysis"]["metrics"]} == measured
    assert all(metric["thresholdRange"].keys() <= {"min", "max"} for metric in spec["analysis"]["metrics"])
    (hook,) = spec["analysis"]["webhooks"]
    gate = stack.find("Service", "mlapi-rollout-gate")
    namespace = gate["metadata"]["namespace"]
    assert hook["type"] == "pre-rollout"
    assert hook["url"] == f"http://{service_name(gate)}.{namespace}:{gate['spec']['ports'][0]['port']}/pre-rollout"


@pytest.mark.parametrize("stack", JUDGED, ids=str)
def test_the_gate_asks_both_versions_and_is_the_program_that_it_judges(stack: Stack) -> None:
    name = stack.of_kind("Canary")[0]["spec"]["service"]["name"]
    gate = stack.find("Deployment", "mlapi-rollout-gate")
    (container,) = containers(gate)
    assert container["image"] == containers(stack.find("Deployment", "mlapi"))[0]["image"]
    options = dict(itertools.pairwise(container["args"]))
    assert options["--from"] == f"http://{name}-primary:8000/project"
    assert options["--to"] == f"http://{name}-canary:8000/project"
    # Kept while the new one starts: a gate that is not there is a check that fails.
    assert gate["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_shares_of_the_traffic_rise_to_all_of_it_or_a_copy_of_each_request_is_judged() -> None:
    weights, contour, blue_green = (stack.of_kind("Canary")[0]["spec"] for stack in JUDGED)
    assert weights["analysis"]["stepWeights"] == contour["analysis"]["stepWeights"] == [10, 50, 100]
    assert "stepWeights" not in blue_green["analysis"]
    assert (blue_green["analysis"]["mirror"], blue_green["analysis"]["mirrorWeight"]) == (True, 100)
    assert [spec["provider"] for spec in (weights, contour, blue_green)] == ["istio", "contour", "istio"]


def test_contour_leads_to_flaggers_routes_and_repeats_only_what_got_no_answer() -> None:
    stack = JUDGED[1]
    (proxy,) = stack.of_kind("HTTPProxy")
    service = stack.of_kind("Canary")[0]["spec"]["service"]
    assert proxy["spec"]["includes"] == [{"name": service["name"], "conditions": [{"prefix": "/project"}]}]
    assert service["retries"]["retryOn"] == "connect-failure,refused-stream,reset"
    assert service["primary"]["annotations"] == service["canary"]["annotations"] != {}
    assert stack.of_kind("VirtualService", "DestinationRule") == []


with_learning = pytest.mark.parametrize("stack", [stack for stack in STACKS if "learning" in stack.components], ids=str)


@with_learning
def test_opinions_have_a_process_and_a_secret_of_their_own(stack: Stack) -> None:
    learn = stack.find("Deployment", "learn")
    (container,) = containers(learn)
    config = stack.find("ConfigMap", container["envFrom"][0]["configMapRef"]["name"])["data"]
    given = {variable["name"]: variable.get("value", "postgresql://host/name") for variable in container["env"]}
    # `env` takes the image's own MLAPI_BUNDLE away: with MLAPI_MODELS it would stop the start.
    assert container["command"] + container["args"] == ["env", "--unset=MLAPI_BUNDLE", "mlapi", "learn", "serve"]
    chosen = read_settings({name: value for name, value in (config | given).items() if name != "MLAPI_BUNDLE"})
    assert [model.root for model in chosen.served] == ["/project", "/lab"]
    assert [Path("/app") / model.bundle.relative_to(ROOT) for model in read_settings({}).served] == [
        model.bundle for model in chosen.served
    ]
    assert ports(learn) == {"http": chosen.port}
    for name, path in PROBES.items():
        assert container[name]["httpGet"] == {"path": path, "port": "http"}
    for workload in (learn, *stack.models):
        pod = pod_template(workload)["spec"]
        (serving,) = pod["containers"]
        environment = {variable["name"]: variable for variable in serving["env"]}
        (mount,) = (found for found in serving["volumeMounts"] if found["name"] == "feedback")
        assert environment["MLAPI_FEEDBACK_KEY_FILE"]["value"] == f"{mount['mountPath']}/key"
        assert ("MLAPI_FEEDBACK_URL" in environment) == (workload is learn)
        (volume,) = (found["secret"] for found in pod["volumes"] if found["name"] == "feedback")
        # The password of the database is not for those who sign ids.
        assert (volume["secretName"], volume["items"]) == ("mlapi-feedback", [{"key": "key", "path": "key"}])


def test_the_gateway_leads_opinions_past_the_models() -> None:
    (routes,) = Stack(PROD.overlay, ("istio-learning", "learning")).of_kind("VirtualService")
    first = routes["spec"]["http"][0]
    roots = [model.root for model in read_settings({}).served]
    assert first["match"] == [{"uri": {"exact": f"{root}/feedback"}} for root in roots]
    assert {target["destination"]["host"] for target in first["route"]} == {"learn-service"}


@pytest.mark.parametrize("stack", WITH_LAB, ids=str)
def test_the_small_model_is_in_the_same_image_and_asks_no_redis(stack: Stack) -> None:
    lab = stack.find("Deployment", "lab")
    (container,) = containers(lab)
    chosen = read_settings({variable["name"]: variable["value"] for variable in container["env"]})
    assert Path("/app") / LAB_BUNDLE.relative_to(ROOT) == chosen.bundle
    assert (chosen.root_path, chosen.redis_url) == ("/lab", "")
    api = stack.find("Deployment", "mlapi")
    assert container["image"] == pod_template(api)["spec"]["containers"][0]["image"]
    assert scalers(stack, lab) == []
    assert stack.find("Service", "lab-service")["spec"]["type"] == "ClusterIP"


def test_a_bundle_on_a_volume_is_read_only() -> None:
    (api,) = Stack(PROD.overlay, ("model-volume",)).apis
    pod = pod_template(api)["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/models", "readOnly": True}
    assert volume["persistentVolumeClaim"] == {"claimName": "mlapi-models", "readOnly": True}


def test_an_external_redis_leaves_none_in_the_cluster() -> None:
    stack = Stack(PROD.overlay, ("external-redis",))
    assert [found for found in stack.objects if found["metadata"].get("labels", {}).get(COMPONENT) == "cache"] == []


@pytest.mark.parametrize(
    ("component", "secret", "files"),
    [
        ("external-redis-password", "external-redis-password", {"password"}),
        ("external-redis-certificates", "external-redis-certificates", {"ca.crt", "tls.crt", "tls.key"}),
    ],
)
def test_what_lets_us_into_an_external_redis_is_a_secret_that_the_kubelet_keeps_fresh(
    component: str, secret: str, files: set[str]
) -> None:
    for workload in Stack(PROD.overlay, ("external-redis", component)).apis:
        pod = pod_template(workload)["spec"]
        (volume,) = (volume for volume in pod["volumes"] if volume.get("secret", {}).get("secretName") == secret)
        for container in containers(workload):
            (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == volume["name"])
            assert (mount["readOnly"], "subPath" in mount) == (True, False)
            named = [variable.get("value", "") for variable in container["env"]]
            found = {name.rpartition("/") for name in named if name.startswith(mount["mountPath"])}
            assert {(folder, name) for folder, _, name in found} == {(mount["mountPath"], name) for name in files}


def test_a_persistent_redis_is_never_two() -> None:
    stack = Stack(DEV.overlay, ("redis-persistent",))
    redis = stack.find("Deployment", "redis")
    assert redis["spec"]["strategy"] == {"type": "Recreate"}
    (volume,) = pod_template(redis)["spec"]["volumes"]
    stack.find("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])


def test_the_names_that_people_type_are_there() -> None:
    for stack in (BASE, DEV, PROD):
        for name in ("mlapi-service", "redis-service"):
            stack.find("Service", name)
        for name in ("mlapi", "redis"):
            stack.find("Deployment", name)
    assert DEV.find("Service", "mlapi-service")["spec"]["type"] == "LoadBalancer"
    assert DEV.of_kind("Namespace")[0]["metadata"]["name"] == "w255"
