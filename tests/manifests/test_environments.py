"""What runs where is in the environments' folders: a digest each, and nothing that a script would have to put in."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.stacks import K8S, Object, kustomize
from tests.manifests.test_builds import VERSIONS, kubeconform
from tools.promotion import ENVIRONMENTS, Repository

OURS = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlapi"
NAMESPACES = {"dev": "w255", "staging": "mlapi-staging", "prod": "mlapi"}


def objects(folder: Path) -> list[Object]:
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


@pytest.fixture(scope="module")
def built() -> dict[str, list[Object]]:
    return {name: objects(K8S / "environments" / name) for name in ENVIRONMENTS}


def test_each_environment_has_a_folder_and_a_namespace(built: dict[str, list[Object]]) -> None:
    assert sorted(path.name for path in (K8S / "environments").iterdir() if path.is_dir()) == sorted(ENVIRONMENTS)
    for name, namespace in NAMESPACES.items():
        spaces = {found["metadata"].get("namespace", found["metadata"]["name"]) for found in built[name]}
        assert spaces == {namespace}


def test_every_image_of_ours_is_the_one_digest(built: dict[str, list[Object]]) -> None:
    for name, found in built.items():
        images = {
            container["image"]
            for workload in found
            if workload["kind"] == "Deployment"
            for kind in ("initContainers", "containers")
            for container in workload["spec"]["template"]["spec"].get(kind, [])
        }
        ours = {image for image in images if "redis" not in image}
        assert ours == {f"{OURS}@{Repository(K8S.parent).digest(name)}"}


def test_production_and_the_stage_before_it_are_judged_alike(built: dict[str, list[Object]]) -> None:
    analyses = []
    for name in ("staging", "prod"):
        (canary,) = (found for found in built[name] if found["kind"] == "Canary")
        (hook,) = canary["spec"]["analysis"].pop("webhooks")
        assert hook.pop("url") == f"http://mlapi-rollout-gate.{NAMESPACES[name]}:8080/pre-rollout"
        analyses.append((canary["spec"]["analysis"], hook))
    assert analyses[0] == analyses[1]
    assert [found for found in built["dev"] if found["kind"] == "Canary"] == []


@pytest.mark.parametrize("folder", ["argocd", "gateway"])
def test_the_definitions_know_every_field(folder: str, tmp_path: Path) -> None:
    file = tmp_path / f"{folder}.yaml"
    file.write_text(kustomize(K8S / folder).stdout, encoding="utf-8")
    for name in ENVIRONMENTS:
        (tmp_path / f"{name}.yaml").write_text(kustomize(K8S / "environments" / name).stdout, encoding="utf-8")
    done = kubeconform(VERSIONS[-1], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_argo_cd_watches_each_environment_and_leaves_to_others_what_is_theirs(built: dict[str, list[Object]]) -> None:
    found = objects(K8S / "argocd")
    (watched,) = (each for each in found if each["kind"] == "ApplicationSet")
    (project,) = (each for each in found if each["kind"] == "AppProject")
    elements = watched["spec"]["generators"][0]["list"]["elements"]
    assert {element["environment"]: element["namespace"] for element in elements} == NAMESPACES
    spec = watched["spec"]["template"]["spec"]
    assert spec["source"]["path"].replace("{{.environment}}", "prod") == ".k8s/environments/prod"
    assert spec["source"]["repoURL"] in project["spec"]["sourceRepos"]
    assert {each["namespace"] for each in project["spec"]["destinations"]} == set(NAMESPACES.values())
    assert spec["ignoreDifferences"] == [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]
    # Whatever is of the cluster and not of a namespace has to be allowed.
    allowed = {each["kind"] for each in project["spec"]["clusterResourceWhitelist"]}
    assert {each["kind"] for each in built["prod"] if "namespace" not in each["metadata"]} == allowed


def workload_of(found: list[Object], kind: str, name: str) -> Any:  # noqa: ANN401  an object as its YAML reads
    (one,) = (each for each in found if each["kind"] == kind and each["metadata"]["name"] == name)
    return one


@pytest.mark.parametrize("name", ["contour", "envoy"])
def test_no_part_of_the_gateway_is_there_only_once(name: str) -> None:
    found = objects(K8S / "gateway")
    workload = workload_of(found, "Deployment", name)
    assert workload["spec"]["replicas"] == 2
    assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    labels = workload["spec"]["template"]["metadata"]["labels"]
    budget = workload_of(found, "PodDisruptionBudget", name)["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1
    pod = workload["spec"]["template"]["spec"]
    assert {rule["topologyKey"] for rule in pod["topologySpreadConstraints"]} >= {"kubernetes.io/hostname"}
    assert all("resources" in container for container in pod["containers"])
    assert "readinessProbe" in pod["containers"][0]
    service = workload_of(found, "Service", name)["spec"]
    assert service["selector"].items() <= labels.items()
    named = {port["name"] for container in pod["containers"] for port in container.get("ports", [])}
    assert {port["targetPort"] for port in service["ports"]} <= named


def test_an_envoy_ends_when_its_connections_have() -> None:
    pod = workload_of(objects(K8S / "gateway"), "Deployment", "envoy")["spec"]["template"]["spec"]
    envoy, manager = pod["containers"]
    assert envoy["lifecycle"]["preStop"]["httpGet"] == {"path": "/shutdown", "port": 8090}
    assert manager["lifecycle"]["preStop"]["exec"]["command"][:3] == ["contour", "envoy", "shutdown"]
    assert pod["terminationGracePeriodSeconds"] > 60


def test_a_promotion_is_one_line(tmp_path: Path) -> None:
    """With the files as they are: the command changes the digest and nothing beside it."""
    root = tmp_path / "checkout"
    for name in ENVIRONMENTS:
        folder = root / ".k8s/environments" / name
        folder.mkdir(parents=True)
        source = K8S / "environments" / name / "kustomization.yaml"
        (folder / source.name).write_bytes(source.read_bytes())
    git = ["git", "-C", str(root), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["config", "user.name", "test"], ["config", "user.email", "t@example.com"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "as they are"], check=True)
    digest = f"sha256:{'ab' * 32}"
    Repository(root).move("dev", digest, "run it")
    shown = subprocess.run([*git, "show", "--format=%s", "--unified=0"], check=True, capture_output=True, text=True)
    changed = [line for line in shown.stdout.splitlines() if line.startswith(("+ ", "- "))]
    assert [line.split()[1:] for line in changed] == [["digest:", f"sha256:{'0' * 64}"], ["digest:", digest]]
