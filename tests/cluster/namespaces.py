"""A namespace of its own for each group of tests, gone when they are over."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.waiting import until

_GONE_S = 120.0


@contextmanager
def namespace(name: str, labels: Mapping[str, str]) -> Iterator[Kubectl]:
    """Create a namespace whose name begins like this, and remove it with all that is in it."""
    kubectl = Kubectl(f"mlapi-test-{name}-{secrets.token_hex(2)}")
    kubectl.apply(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": kubectl.namespace, "labels": dict(labels)},
            }
        )
    )
    try:
        yield kubectl
    finally:
        remove(kubectl)


def remove(kubectl: Kubectl) -> None:
    """Remove a namespace, and wait until its pods have gone: the next test wants the processors for itself."""
    kubectl.run("delete", "namespace", kubectl.namespace, "--ignore-not-found", "--wait=false")

    def gone() -> bool:
        try:
            kubectl.run("get", "namespace", kubectl.namespace)
        except KubectlError as error:
            return "NotFound" in str(error)
        return False

    until(gone, f"namespace {kubectl.namespace} gone", _GONE_S)
