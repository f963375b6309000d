"""Installs the service out of the repository's manifests, with what a test needs different."""

from collections.abc import Mapping, Sequence
from typing import Final

from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.overlay import build
from tests.cluster.service import API, REDIS, Service

IMAGE_NAMES: Final = ("mlapi", "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlapi")
"""What the service's image is called in the manifests: in the base, and in the prod overlay."""


def install(
    kubectl: Kubectl,
    image: str,
    *,
    source: str = "overlays/dev",
    components: Sequence[str] = (),
    changes: Sequence[Object] = (),
    more_images: Mapping[str, str] | None = None,
) -> Service:
    """Apply one of the repository's kustomizations and wait until all of its pods are ready."""
    images = dict.fromkeys(IMAGE_NAMES, image) | dict(more_images or {})
    kubectl.apply(build(source, namespace=kubectl.namespace, images=images, components=components, changes=changes))
    service = Service(kubectl)
    for name in (REDIS, API):
        service.wait_for_rollout(name)
    return service


def replicas(count: int) -> Object:
    """A change: so many API pods."""
    return _deployment({"replicas": count})


def settings(**values: str) -> Object:
    """A change: `MLAPI_*` settings of the API's container, by their names without the prefix in lower case."""
    env = [{"name": f"MLAPI_{name.upper()}", "value": value} for name, value in values.items()]
    return container(env=env)


def container(**fields: object) -> Object:
    """A change: fields of the API's container."""
    return _deployment({"template": {"spec": {"containers": [{"name": API, **fields}]}}})


def pod(**fields: object) -> Object:
    """A change: fields of the API's pods."""
    return _deployment({"template": {"spec": fields}})


def _deployment(spec: Mapping[str, object]) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": API}, "spec": dict(spec)}
