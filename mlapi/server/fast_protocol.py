"""HTTP/1.1 on one connection, except that a plain request is first shown to a fast path.

uvicorn makes of each request a scope, a cycle and a task, and sends its answer one turn of the event loop later. That
costs more than a cached answer does. A plain request (a POST with a length to a path that has a `FastPath`, on a
connection that stays open, complete when its head is, or nearly so) is therefore first shown to that. What that does
not answer, and every other request, goes to the application.
"""

import asyncio
from functools import partial
from typing import Any, Final

from mlapi.api.route import HEAD_START, HeadStart
from mlapi.errors import MlapiError
from mlapi.server.heads import END
from mlapi.server.protocol import HttpConnection
from mlapi.server.requests import MAX_KNOWN_BYTES, Pending, Request
from mlapi.server.shared import Shared, opening

_MAX_HELD_BYTES: Final = 262_144
"""Of a longer body the application's way is a small part of the cost; one read brings as much."""

_OK: Final = 200
_END_BYTES: Final = len(END)

_PATIENCE_S: Final = 0.005
"""How long the rest of a body is waited for: what was sent in one piece takes less, and the rest is in no hurry."""


class FastHttpConnection(HttpConnection):
    """One connection."""

    # Whether an inquiry has begun, and the wait for the rest of a body; nobody waits for the same one twice.
    _asking = False
    _patience: asyncio.TimerHandle | None = None
    _impatient = False
    _default_headers: object = None
    _opening = b""

    def __init__(self, shared: Shared, *of_uvicorn: Any, **named: Any) -> None:  # noqa: ANN401  see `HttpConnection`
        super().__init__(shared, *of_uvicorn, **named)
        self._recognise = shared.requests.recognise

    def data_received(self, data: bytes) -> None:
        """Serve what has come; one whole plain request without a detour."""
        if not self._held and not self._busy:
            end = data.find(END) + _END_BYTES
            if _END_BYTES <= end <= MAX_KNOWN_BYTES:
                try:
                    request = self._recognise(data[:end])
                except MlapiError:
                    pass  # or an empty line in front of a request: see `_take_request`
                else:
                    if (
                        len(data) - end == request.short_bytes
                        and not self._flow.write_paused
                        and not self._transport.is_closing()
                    ):
                        if self._serve(request, data[end:]):
                            return
                        self._begin(request.head)
                        data = data[end:]
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the application know, also of a request that broke off."""
        self._give_up()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection after the answer that is due, or now if none is."""
        self._stopping = True
        self._give_up()
        if not self._asking:
            super().shutdown()

    def _start(self, request: Request, data: bytes, start: int, end: int) -> int:
        """Show a plain request to its fast path when its body is there; see `HttpConnection`."""
        size = request.short_bytes
        if (
            len(data) - end < size <= _MAX_HELD_BYTES
            and not self._impatient
            and not self._shared.holding.full
            and self._may_send()
        ):
            if self._patience is None:
                self._patience = self._loop.call_later(_PATIENCE_S, self._give_up)
            return start
        self._end_patience()
        if 0 <= size <= len(data) - end and self._may_send() and self._serve(request, data[end : end + size]):
            return end + size
        return super()._start(request, data, start, end)

    def _may_send(self) -> bool:
        """Whether an answer may be sent: the connection is open, and the caller reads what it gets."""
        return not self._flow.write_paused and not self._transport.is_closing()

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

    def _serve(self, request: Request, body: bytes) -> bool:
        """Answer a plain request, now or when an inquiry has ended; return whether that will do."""
        fast_path = request.fast_path
        response = fast_path.answer(request.caller, body, self._ends.peer) if fast_path else None
        if isinstance(response, bytes):
            self._send(response)
            return True
        if response is None or not response.begin(partial(self._conclude, response, request, body)):
            return False
        self._busy = self._asking = True
        self._asked_at = self._loop.time()
        return True

    def _conclude(self, inquiry: Pending, request: Request, body: bytes) -> None:
        """Send the answer that an inquiry has led to, or have the application serve the request after all."""
        self._busy = self._asking = False
        may_send = self._may_send() and not self._stopping and not self._ended
        response = inquiry.response() if may_send else None
        if response is None:
            cycle = self._begin(request.head, {HEAD_START: HeadStart(inquiry.started, inquiry.found)})
            cycle.disconnected = self._ended
            self._body = None
            cycle.take(body, more=False)
        else:
            self._send(response)
        self._go_on()

    def _send(self, response: bytes) -> None:
        """Send a fast path's answer."""
        state = self._server_state
        if state.default_headers is not self._default_headers:
            # uvicorn replaces its list of headers each second, with the date.
            self._default_headers = state.default_headers
            self._opening = opening(_OK, state.default_headers)
        self._transport.write(self._opening + response)
        state.total_requests += 1
        self._since = self._loop.time()
