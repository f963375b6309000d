"""Flux on the node: its source and kustomize controllers as processes beside the cluster.

Beside and not inside: there is no registry to pull their images from, and what is to be seen is what they decide.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.go_modules import module_folder
from tests.cluster.kubectl import Kubectl
from tests.programs import find_program
from tools.private_redis import tethered

NAMESPACE: Final = "flux-system"

_CONTROLLERS: Final = ("source-controller", "kustomize-controller")
_STORAGE: Final = "127.0.0.1:18092"


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Run both controllers with their files in a folder, and have their kinds on the cluster."""
    kubectl = Kubectl(NAMESPACE)
    definitions = [
        argument
        for name in _CONTROLLERS
        for file in sorted(
            (module_folder(f"github.com/fluxcd/{name}", f"tools/flux-{name}") / "config/crd/bases").glob("*.yaml")
        )
        for argument in ("--filename", str(file))
    ]
    kubectl.run("apply", "--server-side", *definitions)
    try:
        kubectl.run("wait", "--for=condition=Established", *definitions, "--timeout=60s", timeout_s=90)
        kubectl.run("create", "namespace", NAMESPACE)
        with ExitStack() as stack:
            storage = folder / "storage"
            storage.mkdir()
            stack.enter_context(
                _process(
                    folder,
                    "source-controller",
                    f"--storage-path={storage}",
                    f"--storage-addr={_STORAGE}",
                    f"--storage-adv-addr={_STORAGE}",
                    "--metrics-addr=127.0.0.1:18093",
                    "--health-addr=127.0.0.1:18094",
                )
            )
            stack.enter_context(
                _process(
                    folder,
                    "kustomize-controller",
                    "--metrics-addr=127.0.0.1:18095",
                    "--health-addr=127.0.0.1:18096",
                    "--requeue-dependency=2s",
                )
            )
            yield
    finally:
        kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        kubectl.run("delete", "--ignore-not-found", *definitions, timeout_s=120)


@contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    environment = dict(os.environ) | {"RUNTIME_NAMESPACE": NAMESPACE, "TMPDIR": str(folder)}
    common = ("--watch-all-namespaces=true", "--enable-leader-election=false", "--events-addr=", "--log-level=info")
    with (folder / f"{name}.log").open("wb") as output:
        process = tethered(
            [find_program(f"flux-{name}"), *common, *arguments], signal.SIGTERM, environment, output=output
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
