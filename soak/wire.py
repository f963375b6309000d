"""An HTTP/1.1 client that tells a request which was lost from one which was refused."""

import asyncio
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

HOST: Final = "127.0.0.1"
_END: Final = b"\r\n\r\n"
_HEAD_BYTES: Final = 262_144
_IDLE_S: Final = 2.0
"""Less than the soaked processes go on serving after SIGTERM."""


class LostError(Exception):
    """A request was sent, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def words(self) -> str:
        """What it says, for a report."""
        return f"{self.status} {self.body[:200]!r}"


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Write a POST request; a length in `headers` is taken instead of the body's own."""
    fields = {"host": "soak", "content-type": "application/json", "content-length": str(len(body))}
    return _head("POST", path, fields | dict(headers or {})) + body


def get(path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Write a GET request."""
    return _head("GET", path, {"host": "soak"} | dict(headers or {}))


def _head(method: str, path: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + _END


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Wire":
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection(HOST, port, limit=_HEAD_BYTES))

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def read(self) -> Answer:
        """Read one answer.

        Raises:
            LostError: the connection ended before it was whole.
        """
        try:
            lines = (await self.reader.readuntil(_END)).decode("latin-1").split("\r\n")
            headers = {}
            for line in lines[1:-2]:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            return Answer(int(lines[0].split(" ")[1]), headers, await self._body(headers))
        except (asyncio.IncompleteReadError, OSError) as error:
            msg = f"the connection ended: {error}"
            raise LostError(msg) from None

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readuntil(b"\r\n")
        return b"".join(parts)

    async def is_closed(self) -> bool:
        """Wait until the other end closes; False if it sends something instead."""
        with suppress(OSError):
            return await self.reader.read(1) == b""
        return True

    def abort(self) -> None:
        """Close the connection with a reset."""
        self.writer.transport.abort()


class Caller:
    """Sends one request after the other to a port, on one connection as long as that stays open.

    A connection that was idle for `_IDLE_S` is not used again, as behind a gateway: a server may close it while a
    request is on its way, and who sent that cannot tell whether it was lost.
    """

    def __init__(self, port: int, timeout_s: float) -> None:
        """Give up on an answer after `timeout_s` seconds."""
        self._port = port
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._used_at = -_IDLE_S

    async def ask(self, request: bytes) -> Answer:
        """Send a request, and return its answer.

        Raises:
            LostError: there was none, or half of one.
        """
        wire = self._wire
        try:
            async with asyncio.timeout(self._timeout_s):
                idle = time.monotonic() - self._used_at >= _IDLE_S
                if wire is None or idle or wire.reader.at_eof() or wire.writer.is_closing():
                    self.close()
                    wire = self._wire = await Wire.connect(self._port)
                await wire.send(request)
                answer = await wire.read()
        except (LostError, OSError) as error:
            self.close()
            msg = f"{type(error).__name__}: {error}"
            raise LostError(msg) from None
        if answer.headers.get("connection") == "close":
            self.close()
        self._used_at = time.monotonic()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None


def gzip(size: int) -> bytes:
    """Return a small body that becomes `size` bytes of white space."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b" " * 65_536
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()
