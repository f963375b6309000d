"""An HTTP protocol without a network: a connection to a small application, and what is written on it."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.headers import RequestIds
from mlapi.errors import MlapiError
from mlapi.observability.metrics import Metrics
from mlapi.server.fast_protocol import FastHttpConnection
from mlapi.server.limits import Limits
from mlapi.server.requests import Caller
from mlapi.server.shared import Shared
from tests.stores import until

if TYPE_CHECKING:
    from mlapi.server.fast_path import FastPath

PATH = b"/short"
DATE = b"Sat, 21 Nov 2026 00:00:00 GMT"
SHORT = b"content-length: 5\r\n\r\nshort"
ANSWER = b"HTTP/1.1 200 OK\r\ndate: " + DATE + b"\r\n" + SHORT
LIMITS = Limits(connections=3, head_bytes=8_192, head_s=1.0, keep_alive_s=5.0)


class Wire(asyncio.Transport):
    """Takes down what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.ended = False
        self.aborted = False
        self.reading = True
        self.unsent = 0

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        self.writes.append(bytes(data))

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 4242) if name in {"peername", "sockname"} else default


class Inquiry:
    """Ends when it is told to, with or without a response."""

    def __init__(self, response: bytes | None, *, begins: bool = True) -> None:
        self._response = response
        self._begins = begins
        self.started = 1.0
        self.found = None
        self.end: Callable[[], None] | None = None

    def begin(self, on_end: Callable[[], None]) -> bool:
        self.end = on_end
        return self._begins

    def response(self) -> bytes | None:
        return self._response

    def finish(self) -> None:
        assert self.end is not None
        self.end()


class App:
    """Answers every request with what it was asked, when `open` is set; has one fast path, which notes its calls."""

    def __init__(self, answers: "bytes | Inquiry | None" = SHORT) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.short: list[tuple[bytes, bytes]] = []
        self.scopes: list[Scope] = []
        self.reads = True
        self.faults: list[MlapiError] = []
        self.metrics = Metrics()
        self._answers = answers
        fast_paths = {PATH: cast("FastPath", self)}
        self.shared = Shared(fast_paths, EarlyRefusals(self.metrics, RequestIds()), LIMITS)

    def suits(self, headers: Mapping[bytes, bytes]) -> bool:
        return b"x-wish" not in headers

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        return Caller(headers.get(b"x-request-id", b""))

    def answer(self, caller: Caller, body: bytes, peer: str) -> "bytes | Inquiry | None":
        assert peer == "127.0.0.1"
        self.short.append((caller.given_id, body))
        return self._answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", self.reads
        while more:
            try:
                message = await receive()
            except MlapiError as fault:
                self.faults.append(fault)
                body = b"fault"
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await self.open.wait()
        self.scopes.append(scope)
        content = b"%b %b" % (scope["method"].encode(), body)
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Connection:
    """One connection to an application, through the service's own protocol or through uvicorn's.

    What is not the fast path's goes to `serve` where there is one.
    """

    def __init__(
        self, app: App, *, serve: ASGIApp | None = None, reference: bool = False, beside: "Connection | None" = None
    ) -> None:
        config = uvicorn.Config(
            serve or app,
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        config.load()
        self.server: ServerState = beside.server if beside else ServerState()
        self.server.default_headers = [(b"date", DATE)]
        ours = partial(FastHttpConnection, app.shared)
        make = cast("Callable[..., FastHttpConnection]", HttpToolsProtocol if reference else ours)
        self.protocol = make(config, self.server, {"lifespan": "state"}, asyncio.get_running_loop())
        self.wire = Wire()
        self.protocol.connection_made(self.wire)

    async def exchange(self, *pieces: bytes, answers: int = 1) -> bytes:
        for piece in pieces:
            self.protocol.data_received(piece)
            await asyncio.sleep(0)
        await until(lambda: self.server.total_requests >= answers or self.wire.closed or self.wire.ended)
        return self.wire.sent


def post(body: bytes, *lines: bytes, path: bytes = PATH, version: bytes = b"1.1", method: bytes = b"POST") -> bytes:
    head = [b"%b %b HTTP/%b" % (method, path, version), b"Host: test", *lines, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
