"""KEDA on the node: its operator and its metrics adapter as processes beside the cluster, registered with it.

Beside and not inside: there is no registry to pull its images from, and what is to be seen is what it decides.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.go_modules import module_folder
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.waiting import until
from tests.programs import find_program
from tools.private_redis import tethered

_MODULE: Final = "github.com/kedacore/keda/v2"
_NAMESPACE: Final = "keda"
_SERVICE: Final = "keda-metrics-apiserver"
_API: Final = "external.metrics.k8s.io"
_GRPC_PORT: Final = 9666
_ADAPTER_PORT: Final = 6444
_READY_S: Final = 90.0


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Run KEDA with its files in a folder, until the API server answers through it."""
    kubectl = Kubectl(_NAMESPACE)
    definitions = [argument for file in _definitions() for argument in ("--filename", str(file))]
    kubectl.run("apply", "--server-side", *definitions)
    kubectl.run("wait", "--for=condition=Established", *definitions, "--timeout=60s", timeout_s=90)
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": _registration(_node_address(kubectl))}))
    _certificates(folder)
    try:
        with ExitStack() as stack:
            stack.enter_context(_process("keda-operator", _operator(folder), folder))
            stack.enter_context(_process("keda-adapter", _adapter(folder), folder))
            until(lambda: _available(kubectl), f"{_API} available:\n{_said(folder)}", _READY_S)
            yield
    finally:
        kubectl.run("delete", "apiservice", f"v1beta1.{_API}", "--ignore-not-found")
        kubectl.run("delete", "namespace", _NAMESPACE, "--ignore-not-found", "--wait=false")
        kubectl.run("delete", "--ignore-not-found", *definitions, timeout_s=120)


def _definitions() -> Sequence[Path]:
    return sorted((module_folder(_MODULE, "tools/keda") / "config/crd/bases").glob("*.yaml"))


def _node_address(kubectl: Kubectl) -> str:
    (node,) = kubectl.list("nodes")
    (address,) = (found["address"] for found in node["status"]["addresses"] if found["type"] == "InternalIP")
    return str(address)


def _registration(address: str) -> Sequence[Object]:
    """A Service without pods in front of the adapter's process, and the API that the adapter answers for."""
    metadata = {"name": _SERVICE, "namespace": _NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 443}]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": _SERVICE}},
            "addressType": "IPv4",
            "ports": [{"port": _ADAPTER_PORT, "name": ""}],
            "endpoints": [{"addresses": [address]}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{_API}"},
            "spec": {
                "group": _API,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": _SERVICE, "namespace": _NAMESPACE},
            },
        },
    ]


def _certificates(folder: Path) -> None:
    """Write what both processes show each other: one self-signed certificate, which is its own authority."""
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")),
    ]
    subprocess.run(command, capture_output=True, timeout=30, check=True)
    (folder / "ca.crt").write_bytes((folder / "tls.crt").read_bytes())


def _operator(folder: Path) -> Sequence[str]:
    return [
        f"--cert-dir={folder}",
        f"--metrics-service-bind-address=127.0.0.1:{_GRPC_PORT}",
        "--health-probe-bind-address=127.0.0.1:18081",
        "--enable-prometheus-metrics=false",
        "--enable-webhook-patching=false",
        "--enable-apiservice-patching=false",
    ]


def _adapter(folder: Path) -> Sequence[str]:
    kubeconfig = os.environ["KUBECONFIG"]
    return [
        f"--secure-port={_ADAPTER_PORT}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--metrics-service-address=localhost:{_GRPC_PORT}",
        "--port=18082",
        *(
            f"--{use}={kubeconfig}"
            for use in ("lister-kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ),
    ]


@contextmanager
def _process(name: str, arguments: Sequence[str], folder: Path) -> Iterator[None]:
    environment = dict(os.environ) | {
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": _NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": _NAMESPACE,
    }
    with (folder / f"{name}.log").open("wb") as output:
        process = tethered([find_program(name), *arguments], signal.SIGTERM, environment, output=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _available(kubectl: Kubectl) -> bool:
    conditions = kubectl.get("apiservice", f"v1beta1.{_API}").get("status", {}).get("conditions", [])
    return any(condition["type"] == "Available" and condition["status"] == "True" for condition in conditions)


def _said(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("keda-*.log")))
