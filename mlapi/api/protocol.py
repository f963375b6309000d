"""uvicorn's HTTP protocol, except that an answer that needs no waiting is sent when its request's last byte is read.

uvicorn makes of each request a scope, a cycle and a task, and sends its answer one turn of the event loop later. That
costs more than a cached answer does. A request that is as plain as nearly all are (a POST to a known path, on a
connection that stays open and has nothing else under way, complete at once or nearly so) is therefore first shown to a
`Shortcut`. Whatever the shortcut does not answer, and every other request, takes uvicorn's way from its beginning. A
request that has to wait for Redis first keeps its place among those of its connection, and takes uvicorn's way only if
its texts are not in Redis either. A plain request whose head has come before, byte for byte, is not even parsed.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from mlapi.api.known_heads import Head, KnownHeads
from mlapi.api.shortcut import INQUIRY, Inquiry, Shortcut
from mlapi.api.stand_ins import Place, PlainHead

_MAX_HELD_BYTES: Final = 262_144
"""Of a longer body uvicorn's way is a small part of what it costs; of any body it may hold what one read brings."""

_PATIENCE_S: Final = 0.005
"""How long the rest of a body is waited for: what was sent at once takes less, and the rest is in no hurry."""


class _Application(Protocol):
    """What the configured application has for its connections."""

    @property
    def shortcuts(self) -> Mapping[bytes, Shortcut]:
        """What may answer a plain request, by path."""

    @property
    def known_heads(self) -> KnownHeads:
        """The heads that came before, on any connection."""


class ShortcutProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives its protocols; the configured application has shortcuts and the heads they met."""
        super().__init__(config, server_state, app_state, _loop)
        # Both are uvicorn's own work on a request, and off in this service.
        extra_work = self.access_log or self.limit_concurrency is not None
        self._shortcuts = {} if extra_work else _application(config).shortcuts
        self._known_heads = _application(config).known_heads
        # Whether the parser has nothing in hand, and never had anything but plain requests since it was last known so.
        self._at_rest = bool(self._shortcuts)
        self._answered_at = 0.0
        self._shortcut: Shortcut | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._given_id = b""
        self._body = b""
        self._default_headers: object = None
        self._opening = b""

    def data_received(self, data: bytes) -> None:
        """Read what has come; a request whose end has not takes the usual way, if it does not come within moments."""
        at_rest = self._at_rest
        if at_rest and self._serve_known(data):
            return
        super().data_received(data)
        if self._shortcut is not None:
            if not self._is_short():
                self._give_up()
            elif self._patience is None:
                self._patience = self.loop.call_later(_PATIENCE_S, self._give_up)
            return
        if at_rest and self._at_rest and self._body:
            head = Head(self._shortcuts[self.url], self.url, list(self.headers), self._given_id, len(self._body))
            self._known_heads.learn(data, head, self._body)
        # An idle connection keeps nothing of what came last.
        self._body = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave a request that broke off to uvicorn's way, in which the application learns of it."""
        self._give_up()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection if it is idle, which one is not that has sent a part of a request."""
        self._give_up()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for long enough: answers do not set the timer anew."""
        self.timeout_keep_alive_task = None
        if self.cycle is not None and not self.cycle.response_complete:
            return  # its answer sets the timer
        rest = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """Begin a request; its scope is made when it is known to be needed."""
        self._at_rest = False
        self._body = b""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way of the request."""
        shortcut = self._shortcuts.get(self.url)
        if shortcut is None or not self._is_plain(shortcut):
            self._make_cycle()
        else:
            self._shortcut = shortcut

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._shortcut is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Answer, or go the usual way."""
        shortcut, self._shortcut = self._shortcut, None
        if shortcut is None:
            super().on_message_complete()
            return
        self._end_patience()
        self._at_rest = True
        if not self._serve(shortcut, self._given_id, self._body):
            self._take_usual_way()
            super().on_message_complete()

    def _serve_known(self, data: bytes) -> bool:
        """Answer one whole plain request whose head is known, past the parser, which stands between two requests."""
        head = self._known_heads.recognise(data)
        if head is None or not self._is_free():
            return False
        self.url, self.headers = head.url, head.headers
        return self._serve(head.shortcut, head.given_id, data[-head.body_bytes :])

    def _serve(self, shortcut: Shortcut, given_id: bytes, body: bytes) -> bool:
        """Answer a plain request, now or when an inquiry has ended; return whether that will do."""
        response = shortcut.answer(given_id, body)
        if isinstance(response, bytes):
            self._send(response)
            return True
        return response is not None and self._waits(response, body)

    def _is_free(self) -> bool:
        """Whether an answer may be sent: it overtakes no other, and does not fill the memory of who reads none."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _is_plain(self, shortcut: Shortcut) -> bool:
        """Whether nothing about the request or its connection needs more than an answer."""
        parser = self.parser
        fields = dict(self.headers)
        self._given_id = fields.get(b"x-request-id", b"")
        return (
            # Without the header `Connection`, a connection that is kept alive is one of HTTP/1.1.
            parser.should_keep_alive()
            and (b"connection" not in fields or parser.get_http_version() == "1.1")
            and parser.get_method() == b"POST"
            and b"content-length" in fields
            and b"upgrade" not in fields
            and b"expect" not in fields
            and shortcut.suits(fields)
            and self._is_free()
        )

    def _make_cycle(self) -> None:
        """Do what uvicorn does up to the end of a request's head."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()

    def _is_short(self) -> bool:
        """Whether all of a plain request's body may be held here."""
        return int(dict(self.headers)[b"content-length"]) <= _MAX_HELD_BYTES

    def _give_up(self) -> None:
        """Wait no longer for the rest of a request, if there is one: uvicorn's way can."""
        self._end_patience()
        if self._shortcut is not None:
            self._shortcut = None
            self._take_usual_way()
            self._body = b""

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _take_usual_way(self) -> None:
        """Make up for what uvicorn would have done by now."""
        self._make_cycle()
        if self._body:
            super().on_body(self._body)

    def _waits(self, inquiry: Inquiry, body: bytes) -> bool:
        """Keep the request's place until an inquiry has ended, if it begins at all."""
        place = Place(self.url, self.headers, body)
        if not inquiry.begin(partial(self._conclude, inquiry, place)):
            return False
        self.cycle = cast("RequestResponseCycle", place)
        return True

    def _conclude(self, inquiry: Inquiry, place: Place) -> None:
        """Send the answer that an inquiry has led to, or have the application serve the request after all."""
        gone = place.disconnected or self.transport.is_closing()
        response = inquiry.response() if place.keep_alive and not gone and not self.flow.write_paused else None
        place.response_complete = True
        if response is None:
            self._resume(inquiry, place, gone=gone)
        else:
            self._send(response)

    def _resume(self, inquiry: Inquiry, place: Place, *, gone: bool) -> None:
        """Make the cycle of a request that waited, as if it were the one being read, and start it."""
        later = self.parser, self.url, self.headers, self.expect_100_continue, self.scope, self.cycle
        self.parser, self.url, self.headers = cast("Any", PlainHead()), place.url, place.headers
        self.expect_100_continue = False
        self.cycle = cast("RequestResponseCycle", None)
        self._make_cycle()
        cycle = self.cycle
        cast("dict[str, object]", cycle.scope)[INQUIRY] = inquiry
        cycle.body += place.body
        cycle.more_body = False
        cycle.message_event.set()
        cycle.keep_alive = place.keep_alive
        cycle.disconnected = gone
        self.parser, self.url, self.headers, self.expect_100_continue, self.scope, self.cycle = later
        if cast("object", self.cycle) is place:
            self.cycle = cycle

    def _send(self, response: bytes) -> None:
        """Send a response, and go on as uvicorn does after the end of one."""
        if self.server_state.default_headers is not self._default_headers:
            self._render_opening()
        self.transport.write(self._opening + response)
        if self.timeout_keep_alive_task is None:
            self.on_response_complete()
        else:
            # Nothing went through the parser since the timer was set, so nothing waits for the end of this answer.
            self.server_state.total_requests += 1
            self._answered_at = self.loop.time()

    def _render_opening(self) -> None:
        """Write what every response begins with; uvicorn replaces its list of headers each second, with the date."""
        self._default_headers = headers = self.server_state.default_headers
        self._opening = STATUS_LINE[200] + b"".join([b"%b: %b\r\n" % header for header in headers])


def _application(config: Config) -> _Application:
    """Return the configured application."""
    return cast("_Application", config.app)
