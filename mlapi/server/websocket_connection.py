"""A connection that speaks WebSocket: uvicorn's, as this server looks after its connections.

Imported when the first one is asked for: few processes have any.
"""

import asyncio
import logging
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState

from mlapi.server.limits import LEAVE_S, Unread


class WebSocketConnection(WSProtocol):
    """One connection, from its handshake on."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        # uvicorn's own would log each connection with its query string.
        self.logger = logging.getLogger(__name__)
        self.logger.setLevel(logging.WARNING)
        self._unread = Unread()
        self._read_at = self.loop.time()

    def take_over(self, transport: asyncio.Transport, received: bytes) -> None:
        """Go on with a connection on which a handshake was `received`, and perhaps more."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self.data_received(received)

    def eof_received(self) -> None:
        """Close the connection: a caller that has closed its sending side cannot close it in order."""

    def resume_writing(self) -> None:
        """Go on: the caller reads."""
        self._read_at = self.loop.time()
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Close the connection if its caller does not read; `now` is the event loop's time."""
        if self._unread.stalls(self.transport.get_write_buffer_size(), self._read_at, now):
            self.transport.abort()

    def shutdown(self) -> None:
        """Leave it to the application to say that the process stops; close what it has not closed soon after."""
        if self.handshake_complete:
            self.loop.call_later(LEAVE_S, super().shutdown)
        else:
            super().shutdown()
