"""Istio's kinds, for an API server that does not know them: it checks their objects then; nothing acts on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.go_modules import download
from tests.cluster.kubectl import Kubectl
from tools.kubernetes_schemas import CUSTOM_RESOURCES


@contextmanager
def kinds() -> Iterator[None]:
    """Have the kinds on the cluster; those that were not there before go again."""
    kubectl = Kubectl("default")
    if "virtualservices.networking.istio.io" in kubectl.read("get", "customresourcedefinitions", "--output", "name"):
        yield
        return
    file = str(_definitions())
    # Server-side: an annotation with all that was applied, as `kubectl apply` leaves, is limited to 256 KiB.
    kubectl.run("apply", "--server-side", "--filename", file)
    try:
        kubectl.run("wait", "--for=condition=Established", "--filename", file, "--timeout=60s", timeout_s=90)
        yield
    finally:
        kubectl.run("delete", "--ignore-not-found", "--filename", file, timeout_s=120)


def _definitions() -> Path:
    """The file of the Go module that the manifests are checked against, from Go's cache or fetched."""
    (module,) = (module for module in CUSTOM_RESOURCES if module.path == "istio.io/api")
    fetched = download(f"{module.path}@{module.version}")
    assert fetched["Sum"] == module.hash
    return Path(fetched["Dir"]) / module.files
