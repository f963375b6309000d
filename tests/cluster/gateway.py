"""The gateway of `.k8s/gateway` on the cluster: Contour, and the Envoys that it configures."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from tests.cluster.go_modules import module_folder
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.namespaces import remove
from tests.cluster.overlay import build

NAMESPACE: Final = "projectcontour"
HOST: Final = "mlapi.example.com"
ENVOY: Final = "envoy"

_MODULE: Final = "github.com/projectcontour/contour"
_READY_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way in."""

    kubectl: Kubectl

    @property
    def url(self) -> str:
        """Where `/project` is, from inside the cluster's node, for requests that ask for `HOST`."""
        return f"http://{self.kubectl.get('service', ENVOY)['spec']['clusterIP']}/project"


@contextmanager
def running() -> Iterator[Gateway]:
    """Have it on the cluster, with its images from `CLUSTER_IMAGE_CONTOUR` and `CLUSTER_IMAGE_ENVOY`."""
    kubectl = Kubectl(NAMESPACE)
    definitions = str(module_folder(_MODULE, "tools/contour") / "examples/contour/01-crds.yaml")
    images = {
        "ghcr.io/projectcontour/contour": os.environ["CLUSTER_IMAGE_CONTOUR"],
        "docker.io/envoyproxy/envoy": os.environ["CLUSTER_IMAGE_ENVOY"],
    }
    objects = build("gateway", namespace=NAMESPACE, images=images)
    try:
        kubectl.run("apply", "--server-side", "--filename", definitions)
        kubectl.run("wait", "--for=condition=Established", "--filename", definitions, "--timeout=60s", timeout_s=90)
        kubectl.apply(objects)
        for name in ("contour", ENVOY):
            waiting = ("rollout", "status", f"deployment/{name}", f"--timeout={_READY_S:.0f}s")
            kubectl.run(*waiting, timeout_s=_READY_S + 30)
        yield Gateway(kubectl)
    finally:
        kubectl.run("delete", "--ignore-not-found", "--filename", "-", "--wait=false", stdin=objects)
        remove(kubectl)
        kubectl.run("delete", "--ignore-not-found", "--filename", definitions, timeout_s=120)


def answers(url: str) -> bool:
    """Whether a prediction comes through it."""
    try:
        return httpx.post(
            f"{url}/predict", json={"text": ["Is it there?"]}, headers={"Host": HOST}, timeout=10
        ).is_success
    except httpx.HTTPError:
        return False


def as_text(found: Object) -> str:
    """An object for kubectl."""
    return json.dumps(found)
