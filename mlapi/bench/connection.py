"""One keep-alive HTTP/1.1 connection of a load client, which reads no more of an answer than it must."""

import asyncio
import re
from typing import Final, Protocol, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)")
_HEAD_END: Final = b"\r\n\r\n"
_CHUNKS_END: Final = b"0\r\n\r\n"


class Listener(Protocol):
    """Who is told what happens on a connection."""

    def answered(self, connection: "Connection", status: int, body: bytes) -> None:
        """Take a complete answer; the connection may be `closing`."""

    def disconnected(self, connection: "Connection") -> None:
        """Take note that the connection has ended; it is `busy` if an answer was still due."""


class Connection(asyncio.Protocol):
    """A connection with at most one request under way.

    Attributes:
        busy: whether an answer is due.
        due: when the request under way should have been sent, seconds.
    """

    def __init__(self, loop: Listener) -> None:
        """Tell `loop` what happens."""
        self._loop = loop
        self._received = b""
        self._missing = 0
        self.busy = False
        self.due = 0.0
        self.transport: asyncio.Transport

    @property
    def closing(self) -> bool:
        """Whether it can take no further request."""
        return self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports have the interface without being subclasses.
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request."""
        self.busy = True
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        if self._received:
            data = self._received + data
        if len(data) < self._missing:
            self._received = data
            return
        head_end = data.find(_HEAD_END)
        if head_end < 0:
            self._received = data
            return
        head = data[:head_end].lower()
        length = _LENGTH.search(head)
        if length:
            self._missing = head_end + len(_HEAD_END) + int(length[1])
            complete = len(data) >= self._missing
        else:
            complete = b"transfer-encoding: chunked" not in head or data.endswith(_CHUNKS_END)
        if not complete:
            self._received = data
            return
        self._received = b""
        self._missing = 0
        self.busy = False
        if b"\r\nconnection: close" in head:
            self.transport.close()
        self._loop.answered(self, int(head[9:12]), data[head_end + len(_HEAD_END) :])

    def connection_lost(self, error: Exception | None) -> None:
        """Pass the end on."""
        del error
        self._loop.disconnected(self)
