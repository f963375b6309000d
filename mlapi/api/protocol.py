"""uvicorn's HTTP protocol, except that an answer that needs no waiting is sent when its request's last byte is read.

uvicorn makes of each request a scope, a cycle and a task, and sends its answer one turn of the event loop later. That
costs more than a cached answer does. A request that is as plain as nearly all are (a POST to a known path, on a
connection that stays open and has nothing else under way, complete in one piece) is therefore first shown to a
`Shortcut`. Whatever the shortcut does not answer, and every other request, takes uvicorn's way from its beginning. An
answer that has to ask Redis first goes half of that way: it has a cycle, which keeps its place among the answers of its
connection, and a task only if the texts are not in Redis either.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from mlapi.api.shortcut import INQUIRY, Inquiry, Shortcut


class ShortcutProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives its protocols; the configured application has `shortcuts` by path."""
        super().__init__(config, server_state, app_state, _loop)
        # Both are uvicorn's own work on a request, and off in this service.
        extra_work = self.access_log or self.limit_concurrency is not None
        self._shortcuts = {} if extra_work else _shortcuts(config)
        self._shortcut: Shortcut | None = None
        self._inquiry: Inquiry | None = None
        self._fields: dict[bytes, bytes] = {}
        self._body = b""
        self._default_headers: object = None
        self._opening = b""

    def data_received(self, data: bytes) -> None:
        """Read what has come; a request whose end has not takes the usual way, which can wait for it."""
        super().data_received(data)
        if self._shortcut is not None:
            self._shortcut = None
            if not self.transport.is_closing():
                self._take_usual_way()

    def on_message_begin(self) -> None:
        """Begin a request; its scope is made when it is known to be needed."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way of the request."""
        shortcut = self._shortcuts.get(self.url)
        if shortcut is None or not self._is_plain():
            self._make_cycle()
        else:
            self._shortcut = shortcut
            self._body = b""

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
        response = shortcut.answer(self._fields, self._body)
        if isinstance(response, bytes):
            self._send(response)
            return
        self._inquiry = response
        self._take_usual_way()
        super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether nothing about the request or its connection needs more than an answer."""
        parser = self.parser
        fields = self._fields = dict(self.headers)
        return (
            # Without the header `Connection`, a connection that is kept alive is one of HTTP/1.1.
            parser.should_keep_alive()
            and (b"connection" not in fields or parser.get_http_version() == "1.1")
            and parser.get_method() == b"POST"
            and b"content-length" in fields
            and b"upgrade" not in fields
            and b"expect" not in fields
            # An answer must not overtake the one before it, nor fill the memory when its caller reads none.
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _make_cycle(self) -> None:
        """Do what uvicorn does up to the end of a request's head."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()

    def _take_usual_way(self) -> None:
        """Make up for what uvicorn would have done by now."""
        self._make_cycle()
        if self._body:
            super().on_body(self._body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have the application serve a request, unless it may be answered without."""
        inquiry, self._inquiry = self._inquiry, None
        if inquiry is None or not inquiry.begin(partial(self._conclude, inquiry, cycle, app)):
            super()._start_asgi_task(cycle, app)

    def _conclude(self, inquiry: Inquiry, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Send the answer that an inquiry has led to, or have the application serve the request after all."""
        undisturbed = (
            cycle.keep_alive
            and not cycle.disconnected
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )
        response = inquiry.response() if undisturbed else None
        if response is None:
            cast("dict[str, object]", cycle.scope)[INQUIRY] = inquiry
            super()._start_asgi_task(cycle, app)
            return
        cycle.response_started = cycle.response_complete = True
        self._send(response)

    def _send(self, response: bytes) -> None:
        """Send a response, and go on as uvicorn does after the end of one."""
        if self.server_state.default_headers is not self._default_headers:
            self._render_opening()
        self.transport.write(self._opening + response)
        self.on_response_complete()

    def _render_opening(self) -> None:
        """Write what every response begins with; uvicorn replaces its list of headers each second, with the date."""
        self._default_headers = headers = self.server_state.default_headers
        self._opening = STATUS_LINE[200] + b"".join([b"%b: %b\r\n" % header for header in headers])


def _shortcuts(config: Config) -> Mapping[bytes, Shortcut]:
    """Return the application's shortcuts by path."""
    shortcuts: Mapping[bytes, Shortcut] = config.app.shortcuts  # type: ignore[union-attr]
    return shortcuts
