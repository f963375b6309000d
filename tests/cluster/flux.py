"""Flux on the node: its source and kustomize controllers as processes beside the cluster, and a Git server for them.

Beside and not inside: there is no registry to pull their images from, and what is to be seen is what they decide.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@contextmanager
def git_server(repositories: Path) -> Iterator[str]:
    """Serve the repositories of a folder over HTTP, as a Git host does; yields the URL of the folder."""
    handler = type("Handler", (_GitHandler,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _GitHandler(BaseHTTPRequestHandler):
    """Hands every request to Git's own program for this, which speaks CGI."""

    repositories: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        environment = dict(os.environ) | {
            "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815  the name is the base's

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  as above
        """Say nothing."""
