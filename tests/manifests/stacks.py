"""What `.k8s` can be built into: the base and each overlay, alone and with each component; production with each two."""

import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.source_rules import ROOT
from tests.programs import find_program

K8S: Final = ROOT / ".k8s"
OVERLAYS: Final = ("base", *sorted(f"overlays/{path.name}" for path in (K8S / "overlays").iterdir()))
# It counts on the places of the first two routes, before which other components may put more.
FIRST: Final = ("canary",)
# What production has as it lies there.
PRODUCTION: Final = ("lab", "istio-lab")
COMPONENTS: Final = tuple(
    sorted((path.name for path in (K8S / "components").iterdir()), key=lambda name: (name not in FIRST, name))
)
CONTRADICTORY: Final = (
    {"external-redis", "redis-password"},
    {"external-redis", "redis-persistent"},
    # Flagger makes the new version's pods many or none through the autoscaler that the Canary names.
    {"canary", "autoscaling-by-compute"},
)

NEEDS: Final = {
    "istio-learning": "learning",
    "learning-loop": "learning",
    "learning-loop-keda": "learning-loop",
    "contour-canary": "canary",
    "blue-green": "canary",
    **dict.fromkeys(
        ("external-redis-certificates", "external-redis-password", "external-redis-sentinels"), "external-redis"
    ),
}
"""What a component is part of: alone it would lead nowhere."""

SCALED: Final = ("overlays/prod", "overlays/staging")
"""Where there is an autoscaler, which `canary` needs."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """A folder below `.k8s`, and components to add to it."""

    overlay: str
    components: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The test's id."""
        return "+".join((self.overlay.removeprefix("overlays/"), *self.components))

    @property
    def text(self) -> str:
        """The objects as YAML."""
        return _build(self)

    @property
    def objects(self) -> Sequence[Object]:
        """The objects."""
        return _parse(self)

    def of_kind(self, *kinds: str) -> list[Object]:
        """The objects of these kinds."""
        return [found for found in self.objects if found["kind"] in kinds]

    def find(self, kind: str, name: str) -> Object:
        """The one object of this kind and name."""
        (found,) = (found for found in self.of_kind(kind) if found["metadata"]["name"] == name)
        return found

    @property
    def apis(self) -> list[Object]:
        """The Deployments of the API."""
        return [found for found in self.of_kind("Deployment") if found["metadata"]["labels"].get(COMPONENT) == "api"]

    @property
    def models(self) -> list[Object]:
        """The Deployments that serve a model: those of the API, and `lab` where it is."""
        return [*self.apis, *(found for found in self.of_kind("Deployment") if found["metadata"]["name"] == "lab")]


COMPONENT: Final = "app.kubernetes.io/component"
ALONE: Final = [Stack(overlay) for overlay in OVERLAYS]
STACKS: Final = [
    Stack(overlay, chosen)
    for overlay in OVERLAYS
    for count in {"overlays/prod": (0, 1, 2), "overlays/staging": (0,)}.get(overlay, (0, 1))
    for chosen in itertools.combinations(COMPONENTS, count)
    if set(chosen) not in CONTRADICTORY
    if all(NEEDS.get(name, name) in chosen for name in chosen)
    if not (overlay == "overlays/prod" and set(chosen) & set(PRODUCTION))
    if not ("canary" in chosen and overlay not in SCALED)
]
# What needs two others stands in no pair.
STACKS.append(Stack("overlays/prod", ("learning", "learning-loop", "learning-loop-keda")))
BASE, DEV, PROD = Stack("base"), Stack("overlays/dev"), Stack("overlays/prod")
STAGING: Final = Stack("overlays/staging")
WITH_LAB: Final = [
    stack for stack in STACKS if "lab" in stack.components or stack.overlay in {PROD.overlay, STAGING.overlay}
]
"""Those with the small model, told by their names: to build all of them takes longer than to collect all tests."""


def pod_template(workload: Object) -> Object:
    """The pods that a workload makes."""
    template: Object = workload["spec"]["template"]
    return template


def containers(workload: Object) -> list[Object]:
    """All of a workload's containers, those of the start too."""
    spec = pod_template(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def kustomize(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the pinned kustomize."""
    command = [find_program("kustomize"), "build", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def _build(stack: Stack) -> str:
    """Build a copy in which the overlay lists the components, as one would edit it; the base gets an overlay for it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / K8S.name
        shutil.copytree(K8S, copy)
        overlay = copy / ("overlays/none" if stack.overlay == "base" else stack.overlay)
        overlay.mkdir(exist_ok=True)
        file = overlay / "kustomization.yaml"
        text = file.read_text(encoding="utf-8") if file.exists() else "resources: [../../base]"
        kustomization = yaml.safe_load(text)
        listed = [os.path.relpath(copy / "components" / name, overlay) for name in stack.components]
        kustomization["components"] = [*kustomization.get("components", []), *listed]
        file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        done = kustomize(overlay)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _parse(stack: Stack) -> Sequence[Object]:
    return tuple(yaml.load_all(stack.text, Loader=yaml.CSafeLoader))
