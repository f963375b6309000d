"""The Helm chart is what kustomize builds, object by object, and its values do what they say."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.programs import find_program
from tools.helm_chart import CHART, COMBINATIONS, DEFAULT, OPTIONS, Object, build, chart, identity

NAMESPACE = "mlapi"


def template(*options: str) -> "subprocess.CompletedProcess[str]":
    # Built from source, Helm does not know which version of Kubernetes it was made for.
    command = [find_program("helm"), "template", "mlapi", str(CHART), "--kube-version", "1.34", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(*options: str, namespace: str = NAMESPACE) -> list[Object]:
    done = template("--namespace", namespace, *options)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def by_identity(items: list[Object]) -> dict[tuple[str, str], Object]:
    found = {identity(item): item for item in items}
    assert len(found) == len(items)
    return found


@pytest.fixture(scope="module")
def builds() -> dict[tuple[bool, ...], list[Object]]:
    kustomize = Path(find_program("kustomize"))
    return {combination: build(combination, kustomize) for combination in COMBINATIONS}


@pytest.mark.long
def test_it_renders_what_kustomize_builds_with_every_combination_of_options(
    builds: dict[tuple[bool, ...], list[Object]],
) -> None:
    assert len(builds) == 2 ** len(OPTIONS)
    for combination, expected in builds.items():
        flags = [
            f"--set={option.value}.enabled={str(on).lower()}" for option, on in zip(OPTIONS, combination, strict=True)
        ]
        rendered = by_identity(render("--set=namespace.create=true", *flags))
        assert rendered.keys() == by_identity(expected).keys(), flags
        for key, item in by_identity(expected).items():
            assert rendered[key] == item, (flags, key)


@pytest.mark.long
def test_what_is_committed_is_what_is_generated(builds: dict[tuple[bool, ...], list[Object]]) -> None:
    """Where it is not: python -m tools.helm_chart."""
    generated = chart(builds)
    for path, text in generated.items():
        assert (CHART / path).read_text(encoding="utf-8") == text, path
    templates = {f"templates/{path.name}" for path in (CHART / "templates").glob("*.yaml")}
    assert templates <= generated.keys(), "a template of an object that is no more"


def test_the_default_is_production() -> None:
    """Without Helm: the names of the templates, and the values that stand in production."""
    expected = by_identity(build(DEFAULT, Path(find_program("kustomize"))))
    templates = {path.stem for path in (CHART / "templates").glob("*.yaml")}
    assert {f"{kind.lower()}-{name}" for kind, name in expected} <= templates
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    deployment = expected["Deployment", "mlapi"]["spec"]["template"]["spec"]["containers"][0]
    assert f"{values['image']['repository']}:{values['image']['tag']}" == deployment["image"]
    assert values["resources"] == deployment["resources"]
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["properties"].keys() - {"global"} == values.keys()
    assert schema["additionalProperties"] is False


@pytest.mark.long
def test_values_reach_their_objects() -> None:
    options = [
        "--set=image.repository=registry.example/mlapi,image.tag=abc",
        "--set=istio.hosts={one.example,two.example}",
        "--set=autoscaling.minReplicas=3,autoscaling.maxReplicas=30",
        "--set=config.MLAPI_LOG_LEVEL=debug",
        "--set=resources.limits.cpu=7",
        "--set=redis.image=redis:9",
    ]
    plain, changed = by_identity(render(namespace="elsewhere")), by_identity(render(*options, namespace="elsewhere"))
    assert {item["metadata"]["namespace"] for item in changed.values()} == {"elsewhere"}
    assert changed["VirtualService", "mlapi"]["spec"]["hosts"] == ["one.example", "two.example"]
    scaler: Any = changed["HorizontalPodAutoscaler", "mlapi"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 30)
    pod: Any = changed["Deployment", "mlapi"]["spec"]["template"]["spec"]
    images = {item["image"] for item in (*pod["containers"], *pod["initContainers"])}
    assert images == {"registry.example/mlapi:abc"}
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == 7
    settings = changed["ConfigMap", "mlapi-config"]
    assert settings["data"]["MLAPI_LOG_LEVEL"] == "debug"
    assert settings["metadata"]["name"] != plain["ConfigMap", "mlapi-config"]["metadata"]["name"]
    assert pod["containers"][0]["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]
    kinds = {kind for kind, _ in by_identity(render("--set=istio.enabled=false"))}
    assert not kinds & {"VirtualService", "DestinationRule", "Namespace"}


@pytest.mark.long
@pytest.mark.parametrize(
    "option", ["--set=image.tga=1", "--set=istio.hosts=[]", "--set=lab.enabled=maybe", "--set=replicas=3"]
)
def test_values_that_nothing_reads_are_refused(option: str) -> None:
    done = template(option)
    assert (done.returncode, "don't meet the specifications of the schema" in done.stderr) == (1, True), done.stderr


@pytest.mark.long
def test_helm_lint_finds_nothing() -> None:
    done = subprocess.run(
        [find_program("helm"), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
