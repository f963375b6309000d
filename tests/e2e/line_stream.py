"""A connection whose request is lines that are sent in chunks, and whose answer is read line by line."""

import json
import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from tests.service_process import HOST, ServiceProcess

_TIMEOUT_S: Final = 20.0


def line(text: object) -> bytes:
    """Return a line that asks for one text."""
    return json.dumps({"text": text}).encode() + b"\n"


class LineStream:
    """One such request; a context manager that closes the connection.

    Attributes:
        socket: the connection.
        status: of the answer, once `open` has read its head.
        headers: of it, by their names in lower case.
    """

    def __init__(self, service: ServiceProcess, *headers: bytes, query: bytes = b"", path: bytes = b"") -> None:
        """Connect and send the head of a request."""
        self.socket = socket.create_connection((HOST, service.port), timeout=_TIMEOUT_S)
        self._file = self.socket.makefile("rb")
        self.status = 0
        self.headers: dict[str, str] = {}
        self._rest = b""
        self._over = False
        lines = [
            b"POST " + (path or b"/project/bulk-predict") + query + b" HTTP/1.1",
            b"Host: test",
            b"Content-Type: application/x-ndjson",
            b"Transfer-Encoding: chunked",
            *headers,
        ]
        self.socket.sendall(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, *parts: bytes) -> None:
        """Send parts of the body, a chunk each."""
        self.socket.sendall(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part))

    def end(self) -> None:
        """Send the end of the body."""
        self.socket.sendall(b"0\r\n\r\n")

    def open(self) -> int:
        """Read the head of the answer; return its status."""
        self.status = int(self._file.readline().split()[1])
        while (header := self._file.readline()) not in {b"\r\n", b""}:
            name, _, value = header.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        return self.status

    def read(self) -> bytes:
        """Return the next line of the answer; nothing at its end."""
        if not self.status:
            assert self.open() == 200
        while b"\n" not in self._rest and not self._over:
            size = int(self._file.readline(), 16)
            self._rest += self._file.read(size)
            assert self._file.readline() == b"\r\n"
            self._over = not size
        found, newline, self._rest = self._rest.partition(b"\n")
        return found + newline

    def document(self) -> dict[str, Any]:
        """Return the next line of the answer as JSON."""
        read: dict[str, Any] = json.loads(self.read())
        return read

    def rest(self) -> list[bytes]:
        """Return all lines that are left."""
        lines = []
        while found := self.read():
            lines.append(found)
        return lines

    def body(self) -> bytes:
        """Return the body of a refusal."""
        return self._file.read(int(self.headers["content-length"]))

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()
        self.socket.close()


def ask_lines(
    service: ServiceProcess, lines: Iterable[bytes], *headers: bytes, query: bytes = b""
) -> Sequence[dict[str, Any]]:
    """Send some lines in one request, and return the answers to them."""
    with LineStream(service, *headers, query=query) as stream:
        stream.send(*lines)
        stream.end()
        return [json.loads(found) for found in stream.rest()]
