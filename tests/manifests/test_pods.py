"""What runs in the pods: restricted, limited, pinned, and configured with settings that the service accepts."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from mlapi.settings import Settings, read_settings
from tests.manifests.quantities import quantity, redis_bytes
from tests.manifests.stacks import DEV, PROD, STACKS, Object, Stack, containers, pod_template

SECRETS: Final = {"url": "rediss://:secret@redis.example:6379/0", "password": "secret"}
FEEDBACK_SECRETS: Final = {"url": "postgresql://mlapi:secret@postgres-service:5432/mlapi", "password": "secret"}
ROOM_IN_REDIS: Final = 2
"""Memory limit over maxmemory: connections, replies and fragmentation are not part of it."""

each_stack = pytest.mark.parametrize("stack", STACKS, ids=str)


def environment(stack: Stack, container: Object) -> dict[str, str]:
    """What a container finds in its environment; secrets are made up."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values |= stack.find("ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        text = variable["value"] if "value" in variable else secret(variable["valueFrom"]["secretKeyRef"])
        values[variable["name"]] = expand(text, values)
    if "MLAPI_REDIS_PASSWORD_FILE" in values:
        # As the component's README says: the address then has no password.
        values["MLAPI_REDIS_URL"] = values["MLAPI_REDIS_URL"].replace(":secret@", "mlapi@")
    return values


def secret(reference: Mapping[str, str]) -> str:
    made_up = FEEDBACK_SECRETS if reference["name"] == "mlapi-feedback" else SECRETS
    return made_up[reference["key"]]


def expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], text)


def settings(stack: Stack, container: Object) -> Settings:
    return read_settings(environment(stack, container))


@each_stack
def test_pods_keep_to_the_restricted_standard(stack: Stack) -> None:
    for workload in stack.of_kind("Deployment"):
        pod = pod_template(workload)["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod.get("volumes", []):
            assert volume.keys() - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not [port for port in container.get("ports", []) if "hostPort" in port]


@each_stack
def test_pods_hold_no_token_and_no_addresses_of_other_services(stack: Stack) -> None:
    accounts = {account["metadata"]["name"]: account for account in stack.of_kind("ServiceAccount")}
    for workload in stack.of_kind("Deployment"):
        pod = pod_template(workload)["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack.overlay != "base"], ids=str)
def test_the_namespace_enforces_the_restricted_standard(stack: Stack) -> None:
    (namespace,) = stack.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {found["metadata"]["namespace"] for found in stack.objects if found is not namespace} == {
        namespace["metadata"]["name"]
    }


@each_stack
def test_images_are_pinned_to_a_commit_or_a_release(stack: Stack) -> None:
    for workload in stack.of_kind("Deployment"):
        for container in containers(workload):
            _, _, tag = container["image"].rpartition("/")[2].partition(":")
            assert re.fullmatch(r"[0-9a-f]{7,40}|\d+\.\d+(\.\d+)?(-\w+)?", tag), container["image"]


@each_stack
def test_requests_are_within_limits(stack: Stack) -> None:
    for workload in stack.of_kind("Deployment"):
        for container in containers(workload):
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert 0 < quantity(requests["cpu"]) <= quantity(limits["cpu"])
            # Memory cannot be taken back: what is not reserved may not be there.
            assert requests["memory"] == limits["memory"]


@each_stack
def test_redis_stays_below_its_limit_and_evicts(stack: Stack) -> None:
    found = [
        container
        for workload in stack.of_kind("Deployment")
        for container in containers(workload)
        if container["name"] == "redis"
    ]
    assert len(found) == ("external-redis" not in stack.components)
    for container in found:
        values = environment(stack, container)
        words = [expand(word, values) for word in container["args"]]
        options = dict(zip(words[::2], words[1::2], strict=True))
        assert options["--maxmemory-policy"] == "allkeys-lfu"
        limit = quantity(container["resources"]["limits"]["memory"])
        assert redis_bytes(options["--maxmemory"]) * ROOM_IN_REDIS <= limit
        assert options["--appendonly"] == ("yes" if "redis-persistent" in stack.components else "no")
        assert ("--requirepass" in options) == ("redis-password" in stack.components)


@each_stack
def test_the_service_accepts_its_settings(stack: Stack) -> None:
    for workload in stack.models:
        for container in containers(workload):
            values = environment(stack, container)
            if workload in stack.apis and {"external-redis", "redis-password"} & set(stack.components):
                password = "mlapi@" if "external-redis-password" in stack.components else ":secret@"
                assert password in values["MLAPI_REDIS_URL"]
            read_settings(values)


def test_a_setting_that_does_not_exist_would_be_noticed() -> None:
    container: dict[str, Any] = {"env": [{"name": "MLAPI_DEADLINES", "value": "1"}]}
    with pytest.raises(Exception, match="MLAPI_DEADLINES is not a setting"):
        settings(DEV, container)


@each_stack
def test_a_pod_starts_after_a_bounded_wait_for_redis(stack: Stack) -> None:
    for workload in stack.apis:
        (wait,) = pod_template(workload)["spec"]["initContainers"]
        (serve,) = pod_template(workload)["spec"]["containers"]
        assert wait["args"][:3] == ["wait", "redis", "--optional"]
        assert float(wait["args"][wait["args"].index("--timeout") + 1]) <= 10
        # The secret that signs ids is no business of the wait.
        signing = {"MLAPI_FEEDBACK_KEY_FILE"} if "learning" in stack.components else set()
        served = environment(stack, serve)
        assert environment(stack, wait) == {name: served[name] for name in served.keys() - signing}
        assert signing <= served.keys()
        # The same image: nothing else to pull.
        assert wait["image"] == serve["image"]


@each_stack
def test_a_pod_has_the_time_to_finish_what_it_accepted(stack: Stack) -> None:
    for workload in stack.models:
        pod = pod_template(workload)["spec"]
        (container,) = pod["containers"]
        chosen = settings(stack, container)
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        stores_s, spare_s = 2, 5
        needed = before + chosen.drain_s + chosen.deadline_s + stores_s + spare_s
        assert pod["terminationGracePeriodSeconds"] >= needed
        strategy = workload["spec"]["strategy"]["rollingUpdate"]
        assert strategy["maxUnavailable"] == 0
        assert strategy["maxSurge"] == 1


def test_development_and_production_differ_where_they_should() -> None:
    (dev,), (prod,) = DEV.apis, PROD.apis
    assert dev["spec"]["replicas"] == 1
    assert "replicas" not in prod["spec"]
    requests = [
        quantity(pod_template(stack.find("Deployment", name))["spec"]["containers"][0]["resources"]["requests"][what])
        for name, what in (("mlapi", "cpu"), ("redis", "memory"))
        for stack in (DEV, PROD)
    ]
    assert requests[0] < requests[1]
    assert requests[2] < requests[3]
