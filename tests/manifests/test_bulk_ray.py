"""The RayJob of the component `bulk-ray` has a worker for each actor of its command, and is confined like the rest."""

import re
import shlex

import pytest

from tests.architecture.source_rules import ROOT
from tests.manifests.stacks import PROD, Object, Stack

STACK = Stack(PROD.overlay, ("bulk-ray",))


@pytest.fixture(scope="module")
def job() -> Object:
    return STACK.find("RayJob", "bulk-ray")


def pods(job: Object) -> list[Object]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


def command() -> list[str]:
    """The words of `mlapi bulk` in the script that the job runs."""
    script = STACK.find("ConfigMap", "bulk-ray")["data"]["bulk.sh"]
    return shlex.split(script.partition("||")[0], comments=True)


def test_there_is_a_worker_for_each_actor(job: Object) -> None:
    assert job["spec"]["entrypoint"] == "sh /scripts/bulk.sh"
    words = command()
    assert words[:2] == ["mlapi", "bulk"]
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    actors, cpus = (words[words.index(name) + 1] for name in ("--ray-actors", "--ray-cpus"))
    assert {workers[name] for name in ("replicas", "minReplicas", "maxReplicas")} == {int(actors)}
    assert workers["rayStartParams"]["num-cpus"] == cpus
    (container,) = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == cpus
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_it_reads_what_its_head_names_and_all_see_the_files(job: Object) -> None:
    (head,) = pods(job)[1]["spec"]["containers"]
    assert {"name": "scripts", "mountPath": "/scripts"} in head["volumeMounts"]
    named = {f"${entry['name']}": entry["value"] for entry in head["env"]}
    assert [named[word] for word in command()[2:4]] == ["/files/input.jsonl", "/files/output.jsonl"]
    for pod in pods(job)[1:]:
        (container,) = pod["spec"]["containers"]
        assert {"name": "files", "mountPath": "/files"} in container["volumeMounts"]
        (claim,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "files")
        assert claim["persistentVolumeClaim"]["claimName"] == "bulk-ray-files"


def test_the_operator_is_told_the_version_that_the_image_has(job: Object) -> None:
    pinned = re.search(r"^ray==([\d.]+)", (ROOT / "requirements" / "ray.txt").read_text(), re.MULTILINE)
    assert pinned
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]


def test_its_pods_have_no_rights_and_bounds(job: Object) -> None:
    for pod in pods(job):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_its_policy_is_that_of_all_its_pods_and_no_service_leads_to_them(job: Object) -> None:
    selected = STACK.find("NetworkPolicy", "bulk-ray")["spec"]["podSelector"]["matchLabels"]
    for pod in pods(job):
        labels = pod["metadata"]["labels"]
        assert selected.items() <= labels.items()
        for found in STACK.of_kind("Service", "Deployment", "PodDisruptionBudget"):
            selector = found["spec"]["selector"]
            assert not selector.get("matchLabels", selector).items() <= labels.items(), found["metadata"]["name"]
