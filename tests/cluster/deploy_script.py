"""`deploy.sh`, as a person runs it."""

import subprocess
from dataclasses import dataclass
from typing import Final

from tests.architecture.source_rules import ROOT
from tests.cluster.kubectl import Kubectl

_LONGEST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: its exit code, and all that it wrote."""

    code: int
    said: str


def deploy(kubectl: Kubectl, image: str, *options: str) -> Outcome:
    """Run `./deploy.sh dev` in a test's namespace, with an image that the cluster has."""
    context = kubectl.read("config", "current-context").strip()
    command = ["./deploy.sh", "dev", "--context", context, "--namespace", kubectl.namespace, "--image", image, *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout)
