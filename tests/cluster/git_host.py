"""A Git host: serves the repositories of a folder over HTTP, or over HTTPS to those who show a password."""

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in, and how.

    Attributes:
        address: where it listens.
        certificate: certificate and key in one file.
        user: the name of the only one who may come in.
        password: theirs.
    """

    address: tuple[str, int]
    certificate: Path
    user: str
    password: str

    @property
    def header(self) -> str:
        """What is asked for in `Authorization`."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


@contextmanager
def serving(repositories: Path, access: Access | None = None) -> Iterator[str]:
    """Serve the repositories of a folder, as a Git host does; yields the URL of the folder.

    Args:
        repositories: the folder.
        access: None: plain HTTP on the loopback address, for everybody.
    """
    asked = access.header if access else ""
    handler = type("Handler", (_Handler,), {"repositories": repositories, "authorization": asked})
    server = ThreadingHTTPServer(access.address if access else ("127.0.0.1", 0), handler)
    scheme = "http"
    if access:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(access.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{scheme}://{server.server_address[0]!s}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Hands every request to Git's own program for this, which speaks CGI."""

    repositories: Path
    authorization: str

    def do_GET(self) -> None:
        if self.authorization and self.headers.get("Authorization") != self.authorization:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
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
