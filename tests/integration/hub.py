"""A model hub on this machine: the routes of huggingface.co that its client asks for, and ways for them to go wrong."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_INFO = re.compile(r"/api/models/(?P<id>[^/]+/[^/?]+)(/revision/(?P<revision>[^/?]+))?(\?.*)?")
_FILE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>[^?]+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the hub saw."""

    method: str
    path: str
    range: str | None


@dataclass(slots=True)
class Hub:
    """One model with one commit, `main`, and what goes wrong.

    Attributes:
        id: the model's id.
        commit: its commit.
        files: content by name; `.safetensors` are large files, whose SHA-256 the hub has on record.
        sent: content that is sent instead, by name.
        cut_after: bytes of a file after which the connection breaks, once, by name.
        refuse: status that a file is answered with, by name.
        refuse_model: status and `X-Error-Code` that everything about the model is answered with.
        requests: what was asked so far.
    """

    id: str
    commit: str
    files: Mapping[str, bytes]
    sent: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    refuse: dict[str, HTTPStatus] = field(default_factory=dict)
    refuse_model: tuple[HTTPStatus, str] | None = None
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def info(self) -> bytes:
        """What the hub says of the model at its commit."""
        siblings: list[dict[str, object]] = []
        for name, content in self.files.items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(content)}
            if name.endswith(".safetensors"):
                sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        return json.dumps({"id": self.id, "modelId": self.id, "sha": self.commit, "siblings": siblings}).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Answer for the hub on a free port."""

    class Handler(_Handler):
        model = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        del format, args

    def _answer(self) -> None:
        hub = self.model
        hub.requests.append(Request(self.command, self.path, self.headers.get("Range")))
        info, file = _INFO.fullmatch(self.path), _FILE.fullmatch(self.path)
        found = info or file
        if found is None or found["id"] != hub.id:
            self._error(HTTPStatus.NOT_FOUND, "RepoNotFound")
        elif hub.refuse_model is not None:
            self._error(*hub.refuse_model)
        elif (found["revision"] or "main") not in {"main", hub.commit}:
            self._error(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        elif file is None:
            self._send(hub.info(), {"Content-Type": "application/json"})
        elif file["name"] not in hub.files:
            self._error(HTTPStatus.NOT_FOUND, "EntryNotFound")
        elif self.command == "GET" and file["name"] in hub.refuse:
            self._error(hub.refuse[file["name"]], "")
        else:
            self._send_file(file["name"])

    def _send_file(self, name: str) -> None:
        hub = self.model
        content = hub.sent.get(name, hub.files[name])
        headers = {
            "ETag": f'"{sha256(hub.files[name])}"',
            "X-Repo-Commit": hub.commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if part is None:
            self._send(content, headers, cut_after=hub.cut_after.pop(name, None) if self.command == "GET" else None)
            return
        start = int(part[1])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(content[start:], headers, status=HTTPStatus.PARTIAL_CONTENT)

    def _send(
        self,
        content: bytes,
        headers: Mapping[str, str],
        *,
        status: HTTPStatus = HTTPStatus.OK,
        cut_after: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:cut_after])
        if cut_after is not None:
            self.close_connection = True

    def _error(self, status: HTTPStatus, code: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Repo-Commit": self.model.commit}, status=status)
