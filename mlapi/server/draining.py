"""uvicorn's server, except that it drains before it stops, and listens on both families of addresses."""

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from mlapi.api.listening import EVERYWHERE, addresses, bind_everywhere

if TYPE_CHECKING:
    from mlapi.server.protocol import HttpConnection

_log = logging.getLogger(__name__)

_SWEEP_TICKS: Final = 10
"""How often, in ticks, connections are looked at; a connection may last a second longer than it is allowed to."""

_YOUNG_OBJECTS: Final = 10_000
"""After so many new objects that are still alive, the garbage collector looks at them; by default after 700.

A request that waits for Redis holds some 25. Thirty of them would set it off in each turn of the event loop, to find
nothing, and a hit in Redis would take a tenth longer.
"""


class DrainingServer(uvicorn.Server):
    """uvicorn, except that SIGTERM first turns readiness off and goes on serving for a while."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None], drain_s: float) -> None:
        """Call `drain` at the first SIGTERM; stop `drain_s` seconds later."""
        super().__init__(config)
        self._drain = drain
        self._drain_s = drain_s
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then keep the garbage collector away from all that lives as long as the process."""
        if self.config.host == EVERYWHERE:
            # asyncio would make of this host a socket that takes IPv6 alone.
            sockets = [self._bind()]
        try:
            await super().startup(sockets)
        except OSError as error:
            # Another process had bound the same port, as we had, and was the first to listen on it.
            await self.lifespan.shutdown()
            self._give_up(error)
        if sockets:
            self._log_started_message(sockets)
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)
        gc.enable()

    def _bind(self) -> socket.socket:
        try:
            return bind_everywhere(self.config.port, dual_stack=socket.has_dualstack_ipv6())
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> NoReturn:
        _log.error("cannot listen on port %d: %s", self.config.port, error.strerror)
        sys.exit(STARTUP_FAILURE)

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        """Say where it listens, in addresses that can be opened; uvicorn would name the wildcard."""
        _log.info("listening on %s", " and ".join(addresses(listeners)))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain on SIGTERM; stop immediately on SIGINT and on a second signal."""
        del frame
        self._drain()
        if sig == signal.SIGINT and self.should_exit:
            self.force_exit = True
        if sig == signal.SIGINT or self._stop_at is not None:
            self.should_exit = True
        self._stop_at = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Stop when the time to drain is over, and see to the connections; called ten times a second."""
        if counter % _SWEEP_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("HttpConnection", connection).sweep(now)
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)
