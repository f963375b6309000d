"""HTTP/1.1 on one connection: reads requests, and runs the application, or a shortcut where there is one, on each.

uvicorn listens, and its request cycle speaks ASGI; its own protocols are not used. They take a body for requests when
its head offers another protocol, begin every request that a caller has sent ahead, add trailers to the headers, and
have no bounds. Here one request is read at a time, and what was sent ahead of its turn stays in the bytes that came.

uvicorn makes of each request a scope, a cycle and a task, and sends its answer one turn of the event loop later. That
costs more than a cached answer does. A plain request (a POST with a length to a path that has a `Shortcut`, on a
connection that stays open, complete at once or nearly so) is therefore first shown to the shortcut. What that does not
answer, and every other request, goes to the application.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.shortcut import INQUIRY, Inquiry, Shortcut
from mlapi.errors import InvalidHttpError, MlapiError
from mlapi.server.bodies import Body, body_of
from mlapi.server.exchange import Ends, Exchange, Flow
from mlapi.server.heads import END, Head
from mlapi.server.requests import MAX_KNOWN_BYTES, Request, Requests

_MAX_HELD_BYTES: Final = 262_144
"""Of a longer body the application's way is a small part of the cost; one read brings as much."""

_PATIENCE_S: Final = 0.005
"""How long the rest of a body is waited for: what was sent at once takes less, and the rest is in no hurry."""

_BEGINNING: Final = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
"""What every request begins with; callers who speak TLS or SSH wait for an answer to less than a head."""


class Connections:
    """Makes the connections of a server, and holds what they share."""

    def __init__(self, shortcuts: Mapping[bytes, Shortcut], refusals: EarlyRefusals) -> None:
        """Take what may answer plain requests, by target, and what answers requests that are none."""
        self.requests = Requests(shortcuts)
        self.refusals = refusals

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "HttpConnection":
        """Make one, as uvicorn makes its protocols."""
        if not config.loaded:
            config.load()
        return HttpConnection(self, config, server_state, app_state, _loop or asyncio.get_running_loop())


class HttpConnection(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        shared: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take what uvicorn gives its protocols."""
        self._shared = shared
        self._recognise = shared.requests.recognise
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = loop
        self._transport: asyncio.Transport
        self._flow: Flow
        self._ends: Ends
        # What was received and not read yet: a part of a head or of a short body, and what follows a request.
        self._held = b""
        # The request under way, if there is one: it is being read or answered.
        self._busy = False
        self._body: Body | None = None
        self._cycle: Exchange | None = None
        self._asking = False
        self._patience: asyncio.TimerHandle | None = None
        self._impatient = False
        # Whether the next answer is the last, and whether nothing more is read.
        self._stopping = False
        self._ended = False
        self._since = loop.time()
        self._default_headers: object = None
        self._opening = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports have the interface without being subclasses.
        self._transport = cast("asyncio.Transport", transport)
        self._flow = Flow(self._transport)
        self._ends = Ends(self._transport)
        self._server_state.connections.add(cast("Any", self))

    def data_received(self, data: bytes) -> None:
        """Serve what has come; one whole plain request whose head is known, without a detour."""
        if not self._held and not self._busy:
            end = data.find(END) + len(END)
            if len(END) <= end <= MAX_KNOWN_BYTES:
                try:
                    request = self._recognise(data[:end])
                except InvalidHttpError:
                    pass  # or an empty line in front of a request: see `_take_request`
                else:
                    if len(data) - end == request.short_bytes and self._may_send():
                        if self._serve(request, data[end:]):
                            return
                        self._begin(request.head)
                        data = data[end:]
        if not self._ended:
            self._held += data
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the application know, also of a request that broke off."""
        self._server_state.connections.discard(cast("Any", self))
        self._give_up()
        self._ended = True
        self._held = b""
        if self._cycle is not None:
            if not self._cycle.response_complete:
                self._cycle.disconnected = True
            self._cycle.message_event.set()
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
        self._give_up()
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.keep_alive = False
        elif not self._asking:
            self._end()

    def sweep(self, now: float) -> None:
        """Close the connection if it has been idle for too long; `now` is the event loop's time."""
        if not self._busy and not self._held and now - self._since > self._config.timeout_keep_alive:
            self._end()

    def _may_send(self) -> bool:
        """Whether an answer may be sent: the connection is open, and the caller reads what it gets."""
        return not self._flow.write_paused and not self._transport.is_closing()

    def _advance(self) -> None:
        """Serve what was received, as far as it is its turn."""
        data, at = self._held, 0
        while at < len(data) and not self._ended:
            if self._body is not None:
                at = self._take_body(self._body, data, at)
                continue
            if self._busy:
                break
            start = at
            try:
                at = self._take_request(data, start)
            except MlapiError as error:
                self._refuse(error)
            if at == start:
                break
        self._held = b"" if self._ended else data[at:]
        self._flow.fill(full=len(self._held) > HIGH_WATER_LIMIT)

    def _take_request(self, data: bytes, start: int) -> int:
        """Begin with a request if its head is there; return what of `data` comes next.

        Raises:
            MlapiError: it is none, or none that is served.
        """
        if data[start] in b"\r\n":  # empty lines in front of a request (RFC 9112, section 2.2)
            return len(data) - len(data[start:].lstrip(b"\r\n"))
        end = data.find(END, start) + len(END)
        if end < len(END):
            if not _BEGINNING.match(data, start):
                msg = "this is not the beginning of a request in HTTP/1.1"
                raise InvalidHttpError(msg)
            return start
        requests = self._shared.requests
        read = requests.recognise if end - start <= MAX_KNOWN_BYTES else requests.read
        request = read(data[start:end])
        size = request.short_bytes
        if size > len(data) - end and size <= _MAX_HELD_BYTES and not self._impatient and self._may_send():
            if self._patience is None:
                self._patience = self._loop.call_later(_PATIENCE_S, self._give_up)
            return start
        self._end_patience()
        if 0 <= size <= len(data) - end and self._may_send() and self._serve(request, data[end : end + size]):
            return end + size
        self._begin(request.head)
        return end

    def _give_up(self) -> None:
        """Wait no longer for the rest of a plain request, if there is one: the application can."""
        if self._patience is not None:
            self._end_patience()
            self._impatient = True
            self._advance()
            self._impatient = False

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _take_body(self, body: Body, data: bytes, start: int) -> int:
        """Hand the next part of a body to the application, or drop it if that has answered already."""
        cycle = cast("Exchange", self._cycle)
        try:
            part, end = body.take(data, start)
        except InvalidHttpError as error:
            self._ended = True
            cycle.break_off(error)
            return start
        if body.complete:
            self._body = None
            self._busy = not cycle.response_complete
        cycle.take(part, more=not body.complete)
        return end

    def _serve(self, request: Request, body: bytes) -> bool:
        """Answer a plain request, now or when an inquiry has ended; return whether that will do."""
        response = cast("Shortcut", request.shortcut).answer(request.given_id, body)
        if isinstance(response, bytes):
            self._send(response)
            return True
        if response is None or not response.begin(partial(self._conclude, response, request, body)):
            return False
        self._busy = self._asking = True
        return True

    def _conclude(self, inquiry: Inquiry, request: Request, body: bytes) -> None:
        """Send the answer that an inquiry has led to, or have the application serve the request after all."""
        self._busy = self._asking = False
        may_send = self._may_send() and not self._stopping and not self._ended
        response = inquiry.response() if may_send else None
        if response is None:
            self._begin(request.head, inquiry)
            cycle = cast("Exchange", self._cycle)
            cycle.disconnected = self._ended
            self._body = None
            cycle.take(body, more=False)
        else:
            self._send(response)
        if self._held:
            self._advance()

    def _begin(self, head: Head, inquiry: Inquiry | None = None) -> None:
        """Have the application serve a request whose head is read."""
        config = self._config
        state = self._server_state
        scope = self._ends.scope(head, config, self._app_state)
        if inquiry is not None:
            scope[INQUIRY] = inquiry
        self._cycle = cycle = Exchange(
            scope=cast("Any", scope),
            transport=self._transport,
            flow=self._flow,
            logger=logging.getLogger("uvicorn.error"),
            access_logger=logging.getLogger("uvicorn.access"),
            access_log=False,
            default_headers=state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=head.keep_alive and not self._stopping,
            on_response=self._on_response,
        )
        self._busy = True
        body = body_of(head)
        if body.complete:
            cycle.take(b"", more=False)
        else:
            self._body = body
        task = self._loop.create_task(cycle.run_asgi(config.loaded_app))
        task.add_done_callback(state.tasks.discard)
        state.tasks.add(task)

    def _on_response(self) -> None:
        """Go on after the application's answer."""
        self._server_state.total_requests += 1
        self._since = self._loop.time()
        if self._transport.is_closing():
            self._ended = True
            self._held = b""
            return
        self._busy = self._body is not None
        self._flow.resume_reading()
        if self._held:
            self._advance()

    def _send(self, response: bytes) -> None:
        """Send a shortcut's answer."""
        state = self._server_state
        if state.default_headers is not self._default_headers:
            # uvicorn replaces its list of headers each second, with the date.
            self._default_headers = state.default_headers
            self._opening = STATUS_LINE[200] + _lines(state.default_headers)
        self._transport.write(self._opening + response)
        state.total_requests += 1
        self._since = self._loop.time()

    def _refuse(self, error: MlapiError) -> None:
        """Answer what is not served, and read nothing more."""
        headers, body = self._shared.refusals.answer(error)
        if not self._transport.is_closing():
            lines = _lines([*self._server_state.default_headers, *headers])
            self._transport.write(STATUS_LINE[int(error.status)] + lines + b"\r\n" + body)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._held = b""
        self._transport.close()


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
