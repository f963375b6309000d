"""HTTP/1.1 on one connection: reads requests, and runs the application on each.

uvicorn listens, and its request cycle speaks ASGI; its own protocols are not used. They take a body for requests when
its head offers another protocol, begin every request that a caller has sent ahead, add trailers to the headers, and
have no bounds. Here one request is read at a time, and what was sent ahead of its turn stays in the bytes that came.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.server import ServerState

from mlapi.errors import HeadTimeoutError, InvalidHttpError, MlapiError, OverloadedError
from mlapi.server.bodies import Body, body_of
from mlapi.server.exchange import Ends, Exchange, Flow
from mlapi.server.heads import Head
from mlapi.server.limits import DROP_S, HALF_CLOSE_S, LEAVE_S, MAX_LEAVING, Unread
from mlapi.server.requests import Request
from mlapi.server.shared import Shared


class HttpConnection(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        shared: Shared,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._shared = shared
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._flow: Flow
        self._ends: Ends
        # What was received and not read yet: a part of a head or of a short body, and what follows a request.
        self._held = b""
        # The request under way, if there is one: it is being read or answered.
        self._busy = False
        self._body: Body | None = None
        self._cycle: Exchange | None = None
        # The head of an answer whose body is to follow, and whether what is written next is one.
        self._kept = b""
        self._keep_next = False
        self._head_since = 0.0
        self._counted = 0
        self._unread = Unread()
        # When the last of the request under way came, and whether its caller sends nothing more.
        self._asked_at = 0.0
        self._half_closed = False
        # Whether the next answer is the last, and whether nothing more is read.
        self._stopping = False
        self._ended = False
        self._since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports have the interface without being subclasses.
        self._transport = cast("asyncio.Transport", transport)
        self._flow = Flow(self._transport)
        self._ends = Ends(self._transport)
        connections = self._server_state.connections
        connections.add(cast("Any", self))
        excess = len(connections) - self._shared.limits.connections
        if excess > MAX_LEAVING:
            self._transport.abort()
        elif excess > 0:
            self._refuse(OverloadedError("too many connections are open", retry_after_s=1))

    def data_received(self, data: bytes) -> None:
        """Serve what has come, as far as it is its turn."""
        if not self._ended:
            self._held += data
            self._advance()

    def eof_received(self) -> bool:
        """Send what is due to a caller that has closed its sending side alone; else close the connection.

        A caller that has gone altogether looks the same until something is sent to it. One that closes together with
        its request waits for the answer; one that closes later has given up, and the model computes nothing for it.

        Returns:
            Whether the connection stays open for writing.
        """
        if not self._busy or self._ended or self._body is not None:
            return False
        if not self._held:
            if self._loop.time() - self._asked_at > HALF_CLOSE_S:
                return False
            if self._cycle is not None:
                self._cycle.keep_alive = False
        self._half_closed = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the application know."""
        self._server_state.connections.discard(cast("Any", self))
        self._ended = True
        self._hold(b"")
        if self._cycle is not None:
            self._cycle.disconnect()
        self._flow.resume_writing()
        if exc is None:
            self._transport.close()

    def pause_writing(self) -> None:
        """Wait: the caller does not read."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._flow.resume_writing()

    def shutdown(self) -> None:
        """Close the connection after the answer that is due, or now if none is."""
        self._stopping = True
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.keep_alive = False
        else:
            self._end()

    def sweep(self, now: float) -> None:
        """Close the connection if its caller takes too long for anything; `now` is the event loop's time."""
        waited = now - self._since
        limits = self._shared.limits
        unsent = self._transport.get_write_buffer_size()
        if self._unread.stalls(unsent, self._since, now):
            self._transport.abort()
        elif self._ended:
            if waited > LEAVE_S and not unsent:
                self._transport.abort()
        elif self._body is not None:
            if waited > DROP_S and cast("Exchange", self._cycle).response_complete:
                self._end()
        elif self._busy:
            pass  # the application has its own deadline
        elif self._head_since:
            if now - self._head_since > limits.head_s:
                self._refuse(HeadTimeoutError(f"the request's head was not complete in {limits.head_s:g} s"))
        elif waited > limits.keep_alive_s and not self._held:
            self._end()

    def write(self, data: bytes) -> None:
        """Write for a cycle, which waits while its caller does not read: that it writes shows that its caller does."""
        if self._keep_next:
            self._keep_next, self._kept = False, data
            return
        self._since = self._loop.time()
        self._transport.write(self._kept + data)
        self._kept = b""

    def keep_next(self) -> None:
        """Keep what a cycle writes next, an answer's head, and write it together with what it writes after it."""
        self._keep_next = True

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._ended or self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after a cycle's answer."""
        if self._body is None and not self._held:
            self._end()
        else:
            self._leave()

    def _advance(self) -> None:
        """Serve what was received, as far as it is its turn."""
        data, at = self._held, 0
        while at < len(data) and not self._ended and (self._body is not None or not self._busy):
            if self._body is not None:
                at = self._take_body(self._body, data, at)
                if self._body is not None and at < len(data):
                    self._loop.call_soon(self._advance)  # so many chunks that others would wait
                    break
                continue
            start = at
            try:
                at = self._take_request(data, start)
            except MlapiError as error:
                self._refuse(error)
            if at == start:
                break
        self._hold(b"" if self._ended else data[at:])
        self._flow.fill(full=len(self._held) > HIGH_WATER_LIMIT)

    def _take_request(self, data: bytes, start: int) -> int:
        """Begin with a request if its head is there; return what of `data` comes next.

        Raises:
            MlapiError: it is none, or none that is served.
        """
        if data[start] in b"\r\n":  # empty lines in front of a request (RFC 9112, section 2.2)
            return len(data) - len(data[start:].lstrip(b"\r\n"))
        found = self._shared.requests.find(data, start)
        if found is None:
            if self._shared.holding.full:
                msg = "too many requests arrive at a time"
                raise OverloadedError(msg, retry_after_s=1)
            self._head_since = self._head_since or self._loop.time()
            return start
        self._head_since = 0.0
        request, end = found
        return self._start(request, data, start, end)

    def _start(self, request: Request, data: bytes, start: int, end: int) -> int:
        """Serve the request of a head, `data[start:end]`; return where in `data` to go on, `start` to wait for more."""
        head = request.head
        if head.path in self._shared.websockets and _wants_websocket(head):
            self._change(data[start:])
            return len(data)
        self._begin(head)
        return end

    def _change(self, received: bytes) -> None:
        """Hand the connection over to WebSocket, with the handshake and what came behind it."""
        from mlapi.server.websocket_connection import WebSocketConnection  # noqa: PLC0415  few processes need it

        self._stop_reading_requests()
        self._server_state.connections.discard(cast("Any", self))
        WebSocketConnection(self._config, self._server_state, self._app_state).take_over(self._transport, received)

    def _hold(self, data: bytes) -> None:
        """Keep what is not a request yet."""
        self._held = data
        if len(data) != self._counted:
            self._shared.holding.change(len(data) - self._counted)
            self._counted = len(data)

    def _take_body(self, body: Body, data: bytes, start: int) -> int:
        """Hand the next part of a body to the application, or drop it if that has answered already."""
        cycle = cast("Exchange", self._cycle)
        try:
            part, end = body.take(data, start)
        except InvalidHttpError as error:
            self._ended = True
            self._since = self._loop.time()
            cycle.break_off(error)
            return start
        if body.complete:
            self._asked_at = self._loop.time()
            self._body = None
            self._busy = not cycle.response_complete
        cycle.take(part, more=not body.complete)
        return end

    def _begin(self, head: Head, found: Mapping[str, object] | None = None) -> Exchange:
        """Have the application serve a request whose head is read; what was `found` goes into its state."""
        state = self._server_state
        scope = self._ends.scope(head, self._config, {**self._app_state, **(found or {})})
        self._cycle = cycle = Exchange(
            scope,
            self,
            self._flow,
            state.default_headers,
            self._on_response,
            expects_continue=head.expects_continue,
            keep_alive=head.keep_alive and not self._stopping,
        )
        self._busy = True
        self._asked_at = self._loop.time()
        body = body_of(head)
        if body.complete:
            cycle.take(b"", more=False)
        else:
            self._body = body
        task = self._loop.create_task(cycle.run_asgi(self._config.loaded_app))
        task.add_done_callback(state.tasks.discard)
        state.tasks.add(task)
        return cycle

    def _on_response(self) -> None:
        """Go on after the application's answer."""
        self._server_state.total_requests += 1
        self._since = self._loop.time()
        if self.is_closing():
            return
        self._busy = self._body is not None
        self._flow.resume_reading()
        self._go_on()

    def _go_on(self) -> None:
        """Serve what was sent ahead of its turn; of a caller that sends nothing more, close the connection after it."""
        if self._held:
            self._advance()
        if self._half_closed and not self._busy:
            self._end()

    def _refuse(self, error: MlapiError) -> None:
        """Answer what is not served, and read nothing more."""
        self._transport.write(self._shared.refusal(error, self._server_state.default_headers))
        self._leave()

    def _leave(self) -> None:
        """End the connection, and let the caller read why.

        To close a socket from which not all was read resets the connection, and the caller loses what it was sent
        (RFC 9112, section 9.6). So what comes is dropped for a while, and `sweep` closes the socket.
        """
        self._stop_reading_requests()
        self._since = self._loop.time()
        if not self._transport.is_closing():
            self._flow.resume_reading()
            self._transport.write_eof()
        if self._stopping:
            # A server that stops does not sweep any more.
            self._loop.call_later(LEAVE_S, self._transport.abort)

    def _end(self) -> None:
        """Close the connection when all has been sent."""
        self._stop_reading_requests()
        self._transport.close()

    def _stop_reading_requests(self) -> None:
        self._ended = self._busy = True
        self._hold(b"")
        self._flow.fill(full=False)


def _wants_websocket(head: Head) -> bool:
    """Tell whether a head asks for another protocol, and for this one (RFC 6455, section 4.1)."""
    wishes = {name: value.lower() for name, value in head.headers if name in {b"upgrade", b"connection"}}
    return (
        head.method == b"GET"
        and wishes.get(b"upgrade") == b"websocket"
        and b"upgrade" in [wish.strip() for wish in wishes.get(b"connection", b"").split(b",")]
    )
