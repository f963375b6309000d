"""Only the API's pods reach Redis, only the intended peers reach the API, and the API reaches Redis and DNS alone."""

import dataclasses
from collections.abc import Mapping

import pytest

from tests.manifests.reachability import Connection, Endpoint, may_connect
from tests.manifests.stacks import (
    BASE,
    COMPONENT,
    DEV,
    PROD,
    STACKS,
    STAGING,
    WITH_LAB,
    Stack,
    containers,
    pod_template,
)

INTERNET = Endpoint("203.0.113.7")
INTERNET_6 = Endpoint("2001:db8::7")
CONTROL_PLANE = Endpoint("10.96.0.1")
DNS = Endpoint("10.1.0.53", "kube-system", {"k8s-app": "kube-dns"})
NEIGHBOUR = Endpoint("10.1.0.9", "kube-system", {"k8s-app": "metrics-server"})
GATEWAY = Endpoint("10.1.0.8", "istio-ingress", {"istio": "ingress"})
BESIDE_THE_GATEWAY = Endpoint("10.1.0.7", "istio-ingress", {"app": "other"})
LABELS_OF_A_CLIENT = {"mlapi/client": "true"}


def namespace(stack: Stack) -> str:
    found: str = stack.apis[0]["metadata"].get("namespace", "default")
    return found


def pods(stack: Stack, component: str) -> list[Endpoint]:
    return [
        Endpoint(
            f"10.1.1.{number}",
            namespace(stack),
            pod_template(workload)["metadata"]["labels"],
            ports={
                port["name"]: port["containerPort"]
                for container in containers(workload)
                for port in container.get("ports", [])
            },
        )
        for number, workload in enumerate(stack.of_kind("Deployment"))
        if workload["metadata"]["labels"].get(COMPONENT) == component
    ]


def pod(stack: Stack, labels: Mapping[str, str] | None = None) -> Endpoint:
    """A pod of nobody's in the service's namespace."""
    return Endpoint("10.1.2.1", namespace(stack), labels or {"app": "stray"})


def elsewhere(endpoint: Endpoint) -> Endpoint:
    return dataclasses.replace(endpoint, namespace="elsewhere", address="10.1.3.1")


def reaches(stack: Stack, source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP") -> bool:
    return may_connect(stack.of_kind("NetworkPolicy"), Connection(source, target, port, protocol))


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_only_the_api_reaches_redis(stack: Stack) -> None:
    apis, caches = pods(stack, "api"), pods(stack, "cache")
    assert apis
    assert caches or "external-redis" in stack.components
    strays = [pod(stack), pod(stack, LABELS_OF_A_CLIENT), elsewhere(pod(stack)), *map(elsewhere, apis)]
    for redis in caches:
        assert all(reaches(stack, api, redis, 6379) for api in apis)
        assert not any(reaches(stack, api, redis, port) for api in apis for port in (22, 16379))
        assert not any(reaches(stack, stray, redis, 6379) for stray in (*strays, GATEWAY, INTERNET))


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_redis_reaches_nobody(stack: Stack) -> None:
    for redis in pods(stack, "cache"):
        assert not reaches(stack, redis, DNS, 53, "UDP")
        assert not any(reaches(stack, redis, other, 443) for other in (INTERNET, CONTROL_PLANE))
        assert not any(reaches(stack, redis, api, 8000) for api in pods(stack, "api") if stack.overlay != DEV.overlay)


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_the_api_reaches_redis_and_dns_alone(stack: Stack) -> None:
    for api in pods(stack, "api"):
        assert all(reaches(stack, api, DNS, 53, protocol) for protocol in ("TCP", "UDP"))
        assert not reaches(stack, api, DNS, 443)
        for other in (INTERNET, CONTROL_PLANE, NEIGHBOUR, GATEWAY, pod(stack)):
            assert not any(reaches(stack, api, other, port) for port in (53, 80, 443, 8000))


@pytest.mark.parametrize("stack", [stack for stack in STACKS if "external-redis" in stack.components], ids=str)
def test_an_external_redis_is_reached_within_private_networks(stack: Stack) -> None:
    for api in pods(stack, "api"):
        for private in (Endpoint("10.20.30.40"), Endpoint("fd12:3456:789a::40")):
            assert reaches(stack, api, private, 6379)
            assert not reaches(stack, api, private, 6380)
            assert reaches(stack, api, private, 26379) == ("external-redis-sentinels" in stack.components)
        assert not any(reaches(stack, api, other, 6379) for other in (INTERNET, INTERNET_6))


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack.overlay != DEV.overlay], ids=str)
def test_strays_do_not_reach_the_api(stack: Stack) -> None:
    for api in pods(stack, "api"):
        client = pod(stack, LABELS_OF_A_CLIENT)
        strays = [pod(stack), elsewhere(pod(stack)), elsewhere(client), BESIDE_THE_GATEWAY, INTERNET, NEIGHBOUR]
        assert reaches(stack, client, api, 8000)
        assert not reaches(stack, client, api, 22)
        assert [stray for stray in strays if reaches(stack, stray, api, 8000)] == []


def test_the_small_model_is_where_the_names_say() -> None:
    assert [stack for stack in STACKS if pods(stack, "lab")] == WITH_LAB


@pytest.mark.parametrize("stack", WITH_LAB, ids=str)
def test_the_small_model_is_reached_by_clients_and_the_gateway_and_reaches_nobody(stack: Stack) -> None:
    (lab,) = pods(stack, "lab")
    client = pod(stack, LABELS_OF_A_CLIENT)
    strays = [pod(stack), elsewhere(pod(stack)), elsewhere(client), BESIDE_THE_GATEWAY, INTERNET, NEIGHBOUR]
    assert reaches(stack, client, lab, 8000)
    assert reaches(stack, GATEWAY, lab, 8000) == (stack.overlay in {PROD.overlay, STAGING.overlay})
    assert [stray for stray in (*strays, *pods(stack, "api")) if reaches(stack, stray, lab, 8000)] == []
    others = [*pods(stack, "cache"), *pods(stack, "api"), DNS, INTERNET, CONTROL_PLANE, NEIGHBOUR, GATEWAY]
    ports = (53, 80, 443, 6379, 8000)
    assert [(other, port) for other in others for port in ports if reaches(stack, lab, other, port)] == []
    assert not reaches(stack, lab, DNS, 53, "UDP")


@pytest.mark.parametrize("stack", [stack for stack in STACKS if "learning" in stack.components], ids=str)
def test_opinions_reach_their_database_which_nobody_else_does(stack: Stack) -> None:
    (learn,), (postgres,) = pods(stack, "learn"), pods(stack, "feedback")
    client = pod(stack, LABELS_OF_A_CLIENT)
    assert reaches(stack, learn, postgres, 5432)
    assert reaches(stack, client, learn, 8000)
    assert reaches(stack, GATEWAY, learn, 8000) == (stack.overlay == PROD.overlay)
    strays = [pod(stack), client, elsewhere(learn), *pods(stack, "api"), *pods(stack, "lab"), GATEWAY, INTERNET]
    assert [stray for stray in strays if reaches(stack, stray, postgres, 5432)] == []
    assert not any(reaches(stack, stray, learn, 8000) for stray in (pod(stack), elsewhere(client), INTERNET))
    others = [INTERNET, CONTROL_PLANE, NEIGHBOUR, *pods(stack, "cache")]
    assert not any(reaches(stack, learn, other, port) for other in others for port in (80, 443, 5432, 6379))
    assert not any(reaches(stack, postgres, other, port) for other in (*others, DNS, learn) for port in (53, 443, 8000))


@pytest.mark.parametrize("stack", [stack for stack in STACKS if "monitoring" in stack.components], ids=str)
def test_prometheus_reaches_every_model(stack: Stack) -> None:
    prometheus = Endpoint("10.1.4.1", "monitoring", {"app.kubernetes.io/name": "prometheus"})
    for model in (*pods(stack, "api"), *pods(stack, "lab"), *pods(stack, "learn")):
        assert reaches(stack, prometheus, model, 8000)
        assert not reaches(stack, dataclasses.replace(prometheus, namespace="elsewhere"), model, 22)


def test_the_gateway_reaches_the_api_of_production() -> None:
    assert [reaches(stack, GATEWAY, api, 8000) for stack in (BASE, PROD) for api in pods(stack, "api")] == [False, True]
    impostor = dataclasses.replace(GATEWAY, namespace="elsewhere")
    assert not any(reaches(PROD, impostor, api, 8000) for api in pods(PROD, "api"))


def test_the_load_balancer_of_dev_lets_everyone_in_and_to_one_port_only() -> None:
    (api,) = pods(DEV, "api")
    for anyone in (INTERNET, INTERNET_6):
        assert reaches(DEV, anyone, api, 8000)
        assert not reaches(DEV, anyone, api, 22)
