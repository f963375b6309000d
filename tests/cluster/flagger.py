"""Flagger on the node, a process beside the cluster, and what became of a version that it judged.

Beside and not inside: there is no registry to pull its image from, and what is to be seen is what it decides.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.cluster.go_modules import module_folder
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.programs import find_program
from tools.private_redis import tethered

_MODULE: Final = "github.com/fluxcd/flagger"
_PORT: Final = 18090
_PAUSE_S: Final = 1.0


@contextmanager
def kinds() -> Iterator[None]:
    """Have Flagger's kinds on the cluster."""
    kubectl = Kubectl("default")
    definitions = str(module_folder(_MODULE, "tools/flagger") / "charts/flagger/crds/crd.yaml")
    kubectl.run("apply", "--server-side", "--filename", definitions)
    try:
        kubectl.run("wait", "--for=condition=Established", "--filename", definitions, "--timeout=60s", timeout_s=90)
        yield
    finally:
        kubectl.run("delete", "--ignore-not-found", "--filename", definitions, timeout_s=120)


@contextmanager
def running(folder: Path, namespace: str, metrics_server: str) -> Iterator[Path]:
    """Run it for one namespace, with the options that docs/deploying.md asks for; yields the file that it writes to."""
    command = [
        find_program("flagger"),
        f"-kubeconfig={os.environ['KUBECONFIG']}",
        f"-namespace={namespace}",
        f"-metrics-server={metrics_server}",
        f"-port={_PORT}",
        "-mesh-provider=contour",
        "-selector-labels=app.kubernetes.io/instance",
        "-include-label-prefix=app.kubernetes.io",
        "-control-loop-interval=2s",
        "-log-level=info",
    ]
    log = folder / "flagger.log"
    with log.open("wb") as output:
        process = tethered(command, signal.SIGTERM, dict(os.environ), output=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait()


@dataclass(slots=True)
class Judged:
    """What Flagger did, over time.

    Attributes:
        began: seconds since the epoch.
        weights: seconds since then, and the percent of the traffic that the new version gets from then on.
        phases: seconds since then, and Flagger's phase from then on.
    """

    began: float
    weights: list[tuple[float, float]] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """The last one."""
        return self.phases[-1][1] if self.phases else ""

    def reached(self, phase: str) -> float | None:
        """When a phase was seen last, in seconds since the beginning."""
        return next((at for at, seen in reversed(self.phases) if seen == phase), None)

    @property
    def shares(self) -> Sequence[float]:
        """The weights in their order."""
        return [weight for _, weight in self.weights]

    def __str__(self) -> str:
        """Both, each with its second."""
        weights = ", ".join(f"{weight:.0f} % at {at:.0f} s" for at, weight in self.weights)
        return f"{weights}; {', '.join(f'{phase} at {at:.0f} s' for at, phase in self.phases)}"


@contextmanager
def watched(kubectl: Kubectl, canary: str) -> Iterator[Judged]:
    """Look every second, until the block is over."""
    found = Judged(time.time())
    over = threading.Event()

    def look() -> None:
        while not over.wait(_PAUSE_S):
            try:
                status = kubectl.get("canary", canary)["status"]
                services = kubectl.get("httpproxy", "mlapi-service")["spec"]["routes"][0]["services"]
            except (KubectlError, KeyError):
                continue
            at = time.time() - found.began
            weight = next(float(each.get("weight", 0)) for each in services if each["name"].endswith("-canary"))
            if not found.weights or found.weights[-1][1] != weight:
                found.weights.append((at, weight))
            if found.phase != status["phase"]:
                found.phases.append((at, status["phase"]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
