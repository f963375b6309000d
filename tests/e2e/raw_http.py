"""A connection that sends exactly the bytes it is told to, however wrong they are, and reads the answers."""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from tests.service_process import HOST, ServiceProcess

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One answer: status, headers by lower-case name (of a repeated one the last), body, and the head as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes

    def json(self) -> dict[str, Any]:
        """Return the body, which is a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class RawConnection:
    """One TCP connection; a context manager that closes it."""

    def __init__(self, service: ServiceProcess, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Connect; whatever takes longer than `timeout_s` seconds fails."""
        self.socket = socket.create_connection((HOST, service.port), timeout=timeout_s)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def read(self, *, method: str = "POST") -> RawResponse:
        """Read one answer to a request of that method."""
        lines = [self._file.readline()]
        assert lines[0], "the connection was closed without an answer"
        while lines[-1] not in {b"\r\n", b""}:
            lines.append(self._file.readline())
        assert lines[-1] == b"\r\n", f"the connection was closed within a head: {lines}"
        headers = {}
        for line in lines[1:-1]:
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, f"not a header: {line!r}"
            headers[name.lower()] = value.strip()
        status = int(lines[0].split()[1])
        length = 0 if method == "HEAD" or status in {204, 304} or status < 200 else int(headers["content-length"])
        body = self._file.read(length)
        assert len(body) == length, "the connection was closed within a body"
        return RawResponse(status, headers, body, b"".join(lines))

    def ask(self, data: bytes, *, method: str = "POST") -> RawResponse:
        """Send bytes and read one answer."""
        self.send(data)
        return self.read(method=method)

    def is_closed(self) -> bool:
        """Wait until the other end closes the connection; False if it sends something instead."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()
        self.socket.close()


def post(
    body: bytes,
    *headers: bytes,
    path: bytes = b"/project/predict",
    length: bytes | None = None,
    version: bytes = b"1.1",
) -> bytes:
    """Write a POST request with these header lines; `length` overrides the true length of the body."""
    lines = [b"POST " + path + b" HTTP/" + version, b"Host: test", b"Content-Type: application/json", *headers]
    lines.append(b"Content-Length: " + (b"%d" % len(body) if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
