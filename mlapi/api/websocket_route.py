"""`{root}/stream`: answers lines over WebSocket, a message each."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from mlapi.api.body import CLIENT_GONE, SEND_FAILURES, ClientGoneError
from mlapi.api.headers import read_head
from mlapi.api.line_window import answer_in_order
from mlapi.api.lines import Line
from mlapi.api.ndjson import BATCH_LINES
from mlapi.api.route import RouteParts
from mlapi.api.streams import StreamLife, open_lines, wait_alive
from mlapi.dialects.base import Dialect
from mlapi.dialects.problems import problem, refusal_headers
from mlapi.errors import DrainingError, ForbiddenError, InternalError, MlapiError, UpgradeRequiredError

_GOING_AWAY: Final = 1001
_POLICY: Final = 1008
_FAULT: Final = 1011
_NORMAL: Final = 1000
"""Codes with which a WebSocket is closed (RFC 6455, section 7.4.1)."""

_NEVER_S: Final = math.inf
"""A caller may be silent for as long as it answers pings, which the server sends."""


class WebSocketRoute:
    """The route of one model; it reads and answers the lines of another one."""

    def __init__(self, dialect: Dialect, parts: RouteParts) -> None:
        """Read and answer lines as a dialect does."""
        self._dialect = dialect
        self._parts = parts
        self._origins = frozenset(parts.config.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        parts = self._parts
        head = read_head(scope["headers"], parts.config.client_header)
        request_id = parts.request_ids.choose(head.request_id)
        await receive()  # that it connects
        try:
            self._check_origin(scope)
            lines = open_lines(parts, self._dialect, scope, head, request_id)
        except MlapiError as error:
            await _reject(error, request_id, send)
            parts.accounting.stream(int(error.status), "GET")
            return
        messages = _Messages(receive, StreamLife(parts.served.lifecycle, parts.clock, parts.config.deadline_s))

        async def send_lines(answers: Sequence[bytes]) -> None:
            for answer in answers:
                await send({"type": "websocket.send", "text": answer.decode()})

        status = int(HTTPStatus.SWITCHING_PROTOCOLS)
        with parts.accounting.streams.track_inprogress():
            try:
                headers = [(b"model-digest", parts.served.loaded.digest), (b"x-request-id", request_id)]
                await send({"type": "websocket.accept", "headers": headers})
                try:
                    end = await answer_in_order(messages.batches(), lines.answer, send_lines)
                except MlapiError as error:
                    end = error
                if end is not None:
                    await send_lines([lines.problem(end)])
                    status = status if isinstance(end, DrainingError) else int(end.status)
                await send({"type": "websocket.close", "code": _code(end)})
            except (ClientGoneError, *SEND_FAILURES):
                # To close a connection is how a caller ends its stream: what it did not wait for, nobody misses.
                status = status if messages.closed else CLIENT_GONE
            finally:
                messages.leave()
        parts.accounting.stream(status, "GET")

    def _check_origin(self, scope: Scope) -> None:
        """Let in what is no web page, and pages that may read answers: a browser asks nobody before it connects.

        Raises:
            ForbiddenError: a page of another origin.
        """
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if origin and origin not in self._origins and "*" not in self._origins and urlsplit(origin).netloc != host:
            msg = "web pages of this origin may not connect"
            raise ForbiddenError(msg)


class _Messages:
    """The messages of one connection, each of them a line."""

    def __init__(self, receive: Receive, life: StreamLife) -> None:
        self._receive = receive
        self._life = life
        self.closed = False
        self._next: asyncio.Future[Message] | None = None

    def leave(self) -> None:
        """Wait for no more messages."""
        if self._next is not None:
            self._next.cancel()

    async def batches(self) -> AsyncGenerator[Sequence[Line]]:
        """Yield messages that came together, up to a bound.

        Raises:
            ClientGoneError: the connection is closed.
            DrainingError: the process is stopping.
        """
        while True:
            batch = [self._line(await wait_alive(self._receiving(), self._life, _NEVER_S))]
            while len(batch) < BATCH_LINES:
                # What is there already is received within a turn of the event loop.
                self._next = self._receiving()
                await asyncio.sleep(0)
                if not self._next.done():
                    break
                batch.append(self._line(self._receiving().result()))
            yield batch

    def _receiving(self) -> "asyncio.Future[Message]":
        """Return the next message, which may have been waited for already."""
        waited, self._next = self._next, None
        return waited or asyncio.ensure_future(self._receive())

    def _line(self, message: Message) -> bytes:
        if message["type"] == "websocket.disconnect":
            self.closed = message.get("code") in {_NORMAL, _GOING_AWAY}
            raise ClientGoneError
        text = message.get("text")
        content: bytes = message["bytes"] if text is None else text.encode(errors="surrogatepass")
        return content


def _code(end: MlapiError | None) -> int:
    if isinstance(end, DrainingError):
        return _GOING_AWAY
    return _FAULT if isinstance(end, InternalError) else _POLICY


async def _reject(error: MlapiError, request_id: bytes, send: Send) -> None:
    """Refuse a handshake with a problem document."""
    refusal = problem(error, request_id.decode())
    headers = refusal_headers(error, refusal, request_id.decode())
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.body})


class UpgradeRequired:
    """What comes to such a path and is no handshake, as plain ASGI."""

    async def __call__(self, _: Scope, __: Receive, ___: Send) -> None:
        """Refuse it.

        Raises:
            UpgradeRequiredError: always.
        """
        msg = "this route speaks WebSocket (RFC 6455)"
        raise UpgradeRequiredError(msg, headers=[("upgrade", "websocket"), ("connection", "upgrade")])
