"""Every overlay and every component builds, and the API servers of three versions would know every field."""

import subprocess
from pathlib import Path

import pytest

from tests.manifests.stacks import ALONE, COMPONENTS, CONTRADICTORY, FIRST, K8S, PROD, STACKS, Stack, kustomize
from tests.programs import find_program, find_schemas
from tools import kubernetes_schemas

VERSIONS = [module.version.removeprefix("v") for module in kubernetes_schemas.KUBERNETES]


def kubeconform(version: str, *files: Path) -> "subprocess.CompletedProcess[str]":
    command = [find_program("kubeconform"), "-strict"]
    for folder in (version, kubernetes_schemas.CUSTOM):
        command += ["-schema-location", f"{find_schemas() / folder}/{kubernetes_schemas.LAYOUT}"]
    return subprocess.run([*command, *files], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("stack", ALONE, ids=str)
def test_it_builds_as_it_lies_there(stack: Stack) -> None:
    assert kustomize(K8S / stack.overlay).stdout == stack.text != ""


@pytest.mark.timeout(600)  # whichever comes first builds everything
@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_knows_every_field(version: str, tmp_path: Path) -> None:
    for stack in STACKS:
        (tmp_path / f"{stack}.yaml").write_text(stack.text, encoding="utf-8")
    done = kubeconform(version, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        ("maxReplicas: 10", "maxReplicas: ten"),
        ("prefix: /project/", "prefx: /project/"),
        ("kind: DestinationRule", "kind: DestinationRules"),
    ],
)
def test_a_wrong_field_would_be_noticed(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in PROD.text
    file = tmp_path / "wrong.yaml"
    file.write_text(PROD.text.replace(right, wrong), encoding="utf-8")
    assert kubeconform(VERSIONS[-1], file).returncode == 1


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_says_what_it_is_for(name: str) -> None:
    title, _, text = (K8S / "components" / name / "README.md").read_text(encoding="utf-8").partition("\n\n")
    assert title == f"# {name}"
    assert text.strip()


def test_the_folders_are_seen() -> None:
    files = [path for path in K8S.rglob("kustomization.yaml") if "kind: Component" in path.read_text(encoding="utf-8")]
    assert sorted(path.parent.name for path in files) == sorted(COMPONENTS)
    assert {"canary", "external-redis", "model-volume", "redis-persistent"} <= set(COMPONENTS)
    assert {*FIRST, *(name for pair in CONTRADICTORY for name in pair)} <= set(COMPONENTS)


def test_every_file_is_part_of_something() -> None:
    used = "".join(path.read_text(encoding="utf-8") for path in K8S.rglob("kustomization.yaml"))
    files: list[Path] = [path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml"]
    assert files
    assert [str(path) for path in files if path.name not in used] == []


@pytest.mark.parametrize(
    "name",
    [
        *(f"base/{kind}-{name}.yaml" for kind in ("deployment", "service") for name in ("mlapi", "redis")),
        "overlays/dev/namespace.yaml",
        "overlays/dev/service-mlapi-lb.yaml",
        "overlays/prod/hpa-mlapi.yaml",
        "overlays/prod/virtual-service.yaml",
    ],
)
def test_the_files_that_people_know_are_there(name: str) -> None:
    assert (K8S / name).is_file()
