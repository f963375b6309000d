"""kubectl in one namespace of the cluster that KUBECONFIG names."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.waiting import wait

Object = dict[str, Any]
"""A Kubernetes object as its JSON reads."""

_TIMEOUT_S: Final = 60.0
_READ_ATTEMPTS: Final = 3


class KubectlError(Exception):
    """A command that failed; says which, and what it wrote."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Commands in one namespace."""

    namespace: str

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run `kubectl ARGUMENTS`; return what it wrote to its standard output.

        Raises:
            KubectlError: it failed, or took longer than `timeout_s` seconds.
        """
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"{' '.join(command)}: not done after {timeout_s:g} s"
            raise KubectlError(msg) from error
        if done.returncode:
            msg = f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            raise KubectlError(msg)
        return done.stdout

    def read(self, *arguments: str) -> str:
        """Run a command that changes nothing, again when it fails: a busy API server may drop a connection."""
        return _again(lambda: self.run(*arguments))

    def get(self, kind: str, name: str) -> Object:
        """Return one object."""
        found: Object = json.loads(self.read("get", kind, name, "--output", "json"))
        return found

    def list(self, kind: str, selector: str = "") -> Sequence[Object]:
        """Return the objects of one kind, those whose labels match if a selector is given."""
        found: Sequence[Object] = json.loads(
            self.read("get", kind, *(["--selector", selector] if selector else []), "--output", "json")
        )["items"]
        return found

    def apply(self, documents: str) -> str:
        """Create or change what a YAML or JSON text describes; may be repeated, so it is when it fails."""
        return _again(lambda: self.run("apply", "--filename", "-", stdin=documents))

    def patch(self, kind: str, name: str, change: Object) -> None:
        """Merge a change into an object."""
        self.run("patch", kind, name, "--type", "merge", "--patch", json.dumps(change))

    def scale(self, deployment: str, replicas: int) -> None:
        """Ask for so many pods."""
        self.run("scale", f"deployment/{deployment}", f"--replicas={replicas}")

    def exec(self, pod: str, *command: str, container: str | None = None) -> str:
        """Run a command in a running pod; return its standard output."""
        chosen = ["--container", container] if container else []
        return self.run("exec", pod, *chosen, "--", *command)


def _again(attempt: Callable[[], str]) -> str:
    for _ in range(_READ_ATTEMPTS - 1):
        try:
            return attempt()
        except KubectlError:
            wait(1.0)
    return attempt()
