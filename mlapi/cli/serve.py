"""`mlapi serve`: runs the HTTP service in this process."""

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING, Final

import click
import uvicorn

from mlapi.errors import ConfigurationError
from mlapi.observability.logs import configure_logging
from mlapi.settings import Settings, read_settings

if TYPE_CHECKING:
    from mlapi.loading import Model

EXIT_CONFIGURATION: Final = 2
EXIT_START_FAILED: Final = 3

_GRACE_S: Final = 1.0
_BACKLOG: Final = 2048
_KEEP_ALIVE_S: Final = 75
"""Longer than the idle time-outs of the usual load balancers (60 s), so that they close a connection, never we: a
request that crosses our closing would fail."""


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
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.enable()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain on SIGTERM; stop at once on SIGINT and on a second signal."""
        del frame
        self._drain()
        if sig == signal.SIGINT and self.should_exit:
            self.force_exit = True
        if sig == signal.SIGINT or self._stop_at is not None:
            self.should_exit = True
        self._stop_at = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Stop when the time to drain is over; called ten times a second."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


@click.command()
def serve() -> None:
    """Run the HTTP service.

    \b
    It is configured by MLAPI_* environment variables, all optional; the README lists them.
    SIGTERM turns /readyz off, serves on for MLAPI_DRAIN_S seconds, finishes what it accepted, and exits with 0.
    SIGINT (Ctrl-C) skips the wait.

    \b
    Exit codes: 0 stopped as asked, 2 a setting is wrong, 3 the start failed.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    # Little that is made until the service listens is garbage; looking for it takes a twentieth of that time.
    gc.disable()
    try:
        settings = read_settings()
        configure_logging(settings.log_level)
        server = _server(settings, _begin_to_load(settings))
    except ConfigurationError as error:
        click.echo(f"mlapi: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    server.run()
    sys.exit(0 if server.started else EXIT_START_FAILED)


def _begin_to_load(settings: Settings) -> "Future[Model]":
    """Load the model in a thread, which spends most of its time outside the interpreter."""

    def run() -> "Model":
        from mlapi.loading import load  # noqa: PLC0415  imports the engine's library, in the thread

        return load(settings.bundle, engine=settings.engine, threads=settings.threads, clock=time.monotonic)

    thread = ThreadPoolExecutor(1, thread_name_prefix="loading")
    loading = thread.submit(run)
    thread.shutdown(wait=False)
    return loading


def _server(settings: Settings, loading: "Future[Model]") -> DrainingServer:
    # Half a second of imports, while the model is loaded.
    from mlapi.api.protocol import ShortcutProtocol  # noqa: PLC0415  as the line above says
    from mlapi.app import create_app  # noqa: PLC0415  as the line above says

    app = create_app(settings, os.environ, loading)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=ShortcutProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.deadline_s + _GRACE_S) + 1,
    )
    return DrainingServer(config, app.drain, settings.drain_s)
