"""The Job of the component `bulk` divides the work as its pods are told, and nothing of it can harm the service."""

import shlex

import pytest

from mlapi.offline.shards import Part
from tests.manifests.stacks import PROD, Object, Stack, pod_template


@pytest.fixture(scope="module")
def job() -> Object:
    return Stack(PROD.overlay, ("bulk",)).find("Job", "bulk")


def environment(job: Object) -> dict[str, str]:
    (container,) = pod_template(job)["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_there_is_a_shard_for_each_index(job: Object) -> None:
    count = job["spec"]["completions"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert environment(job)["BULK_SHARDS"] == str(count)
    (container,) = pod_template(job)["spec"]["containers"]
    words = shlex.split(container["args"][0])
    assert words[:2] == ["mlapi", "bulk"]
    shard = words[words.index("--shard") + 1]
    parts = {
        Part.parse(shard.replace("$JOB_COMPLETION_INDEX", str(index)).replace("$BULK_SHARDS", str(count)))
        for index in range(count)
    }
    assert parts == {Part(index, count) for index in range(count)}


def test_a_pod_that_dies_is_started_again_and_wrong_usage_is_not(job: Object) -> None:
    assert pod_template(job)["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimitPerIndex"] > 0
    rules = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
    assert rules["FailIndex"]["onExitCodes"]["values"] == [2]
    assert rules["Ignore"]["onPodConditions"][0]["type"] == "DisruptionTarget"


def test_no_service_leads_to_its_pods(job: Object) -> None:
    labels = pod_template(job)["metadata"]["labels"]
    stack = Stack(PROD.overlay, ("bulk",))
    selecting = stack.of_kind("Service", "Deployment", "PodDisruptionBudget")
    for found in selecting:
        selector = found["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert not wanted.items() <= labels.items(), found["metadata"]["name"]
