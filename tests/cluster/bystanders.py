"""Pods that are none of the service's, free to send whatever they like, and what can be reached from a pod."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.cluster.kubectl import Kubectl, Object

PORT: Final = 8080
"""Where each of them listens."""

_LABEL: Final = {"bystander": "true"}
_SECURITY: Final[Mapping[str, Any]] = {
    "runAsNonRoot": True,
    "runAsUser": 20002,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_READY_S: Final = 90
_CONNECT: Final = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except TimeoutError:
    print("no answer")
except OSError as error:
    print(type(error).__name__)
else:
    print("open")
"""


def start(kubectl: Kubectl, name: str, image: str, labels: Mapping[str, str] | None = None) -> str:
    """Run a pod that listens; return its address when it is ready.

    A policy of its own lets it send anywhere, whatever else holds in the namespace: what it cannot reach then, the
    other end keeps shut.
    """
    for document in (_policy(), _pod(name, image, _LABEL | dict(labels or {}))):
        kubectl.apply(json.dumps(document))
    kubectl.run("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={_READY_S}s", timeout_s=_READY_S + 30)
    address: str = kubectl.get("pod", name)["status"]["podIP"]
    return address


def reach(kubectl: Kubectl, pod: str, host: str, port: int) -> str:
    """Try to connect from a pod: `open`, `no answer` (what a policy's silent drop looks like), or an error's name."""
    return kubectl.exec(pod, "python3", "-c", _CONNECT, host, str(port)).strip()


def _policy() -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "bystanders"},
        "spec": {
            "podSelector": {"matchLabels": _LABEL},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{}],
            "egress": [{}],
        },
    }


def _pod(name: str, image: str, labels: Mapping[str, str]) -> Object:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", str(PORT), "--directory", "/proc/self/fd"],
        "securityContext": _SECURITY,
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels)}, "spec": spec}
