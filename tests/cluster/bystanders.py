"""Pods that are none of the service's, and what can be reached from a pod."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.cluster.kubectl import Kubectl, Object

SECURITY: Final[Mapping[str, Any]] = {
    "runAsNonRoot": True,
    "runAsUser": 20002,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

LISTEN_PORT: Final = 8080
LISTEN: Final = ("python3", "-m", "http.server", str(LISTEN_PORT), "--directory", "/proc/self/fd")

_READY_S: Final = 60
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


def start(kubectl: Kubectl, name: str, image: str) -> Object:
    """Run a pod that listens on a port of its own; return it when it is ready."""
    kubectl.apply(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": "main",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": LISTEN,
                            "securityContext": SECURITY,
                            "readinessProbe": {"tcpSocket": {"port": LISTEN_PORT}, "periodSeconds": 1},
                        }
                    ],
                },
            }
        )
    )
    kubectl.run("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={_READY_S}s", timeout_s=_READY_S + 30)
    return kubectl.get("pod", name)


def reach(kubectl: Kubectl, pod: str, host: str, port: int) -> str:
    """Try to connect from a pod: `open`, `no answer` (what a policy's silent drop looks like), or an error's name."""
    return kubectl.exec(pod, "python3", "-c", _CONNECT, host, str(port)).strip()
