"""One request and its answer as the application sees them: its scope, uvicorn's cycle, and the flow of bytes."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from mlapi.errors import MlapiError
from mlapi.server.heads import Head

_log: Final = logging.getLogger("uvicorn.error")


class Ends:
    """Who talks to whom on a connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._server = get_local_addr(transport)
        self._client = get_remote_addr(transport)
        self.peer = self._client[0] if self._client else ""
        self._scheme = "https" if is_ssl(transport) else "http"

    def scope(self, head: Head, config: Config, state: dict[str, object]) -> dict[str, Any]:
        """Return a request's ASGI scope; `state` is for the application to keep."""
        return {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": head.method.decode(),
            "root_path": config.root_path,
            "path": config.root_path + head.path,
            "raw_path": config.root_path.encode() + head.raw_path,
            "query_string": head.query,
            "headers": head.headers.copy(),
            "state": state,
        }


class Flow(FlowControl):
    """uvicorn's, except that nothing is read while enough was received that has to wait for its turn.

    A cycle goes on reading whenever its application asks for more, which may be a caller's other requests.
    """

    _full = False

    def fill(self, *, full: bool) -> None:
        """Stop reading, or go on if that was the reason."""
        if full:
            self._full = True
            self.pause_reading()
        elif self._full:
            self._full = False
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless there is enough."""
        if not self._full:
            super().resume_reading()


class Outlet(Protocol):
    """Where a cycle writes: a connection."""

    def write(self, data: bytes) -> None:
        """Write, or keep it if that was asked for."""

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""

    def close(self) -> None:
        """Close the connection after what was written."""

    def keep_next(self) -> None:
        """Keep what is written next, and write it together with what is written after it."""


class Exchange(RequestResponseCycle):
    """uvicorn's cycle, except that a body may turn out to be none, and that a head goes with its body."""

    _fault: MlapiError | None = None

    def __init__(
        self,
        scope: dict[str, Any],
        outlet: Outlet,
        flow: Flow,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        """Begin; `on_response` is called after the answer, `default_headers` are the server's own."""
        super().__init__(
            scope=cast("Any", scope),
            transport=cast("asyncio.Transport", outlet),
            flow=flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=on_response,
        )
        self._outlet = outlet

    def take(self, part: bytes, *, more: bool) -> None:
        """Take a part of the body, unless there is an answer already."""
        if self.response_complete:
            return
        self.body += part
        self.more_body = more
        if len(self.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    def disconnect(self) -> None:
        """Tell the application that the caller has gone."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()

    def break_off(self, fault: MlapiError) -> None:
        """Raise a fault where the application asks for the body, and close the connection after the answer."""
        self._fault = fault
        self.keep_alive = False
        self.message_event.set()
        if self.response_complete:
            self.transport.close()

    async def receive(self) -> Any:  # noqa: ANN401  uvicorn's own types are not public
        """Return the next part of the body, or the end of the connection.

        Raises:
            MlapiError: the body is framed wrongly.
        """
        message = await super().receive()
        if self._fault is not None and message["type"] == "http.request":
            raise self._fault
        return message

    async def send(self, message: Any) -> None:  # noqa: ANN401  uvicorn's own types are not public
        """Send a part of the answer.

        A caller that gets an answer where it had asked whether to send a body may send it all the same, or not
        (RFC 9110, section 10.1.1): what comes next can be neither taken for it nor for a request.

        Raises:
            ConnectionResetError: the caller has gone, and more of an answer was to follow. An answer that is whole is
                dropped in silence, as uvicorn does.
        """
        if self.disconnected and self.response_started:
            msg = "the caller has gone"
            raise ConnectionResetError(msg)
        if self.waiting_for_100_continue and self.more_body:
            self.keep_alive = False
        if message["type"] == "http.response.start" and self._has_body(message.get("headers", ())):
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if self.disconnected:
                return
            # The application sends the first part of the body next: head and part go out in one system call, not two.
            self._outlet.keep_next()
        await super().send(message)

    def _has_body(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the head gives the body's length, and a body is sent: not for HEAD, and not for streams."""
        return self.scope["method"] != "HEAD" and any(name.lower() == b"content-length" for name, _ in headers)
