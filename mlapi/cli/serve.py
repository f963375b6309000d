"""`mlapi serve`: runs the HTTP service in this process."""

import gc
import os
import resource
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final, cast

import click
from pydantic import BaseModel

from mlapi.errors import ConfigurationError
from mlapi.observability.logs import configure_logging
from mlapi.settings import Settings, read_settings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import uvicorn
    from starlette.types import ASGIApp

    from mlapi.model import Model
    from mlapi.server.draining import DrainingServer
    from mlapi.server.limits import Limits
    from mlapi.server.requests import Choosy

EXIT_CONFIGURATION: Final = 2
EXIT_START_FAILED: Final = 3

_SWITCH_S: Final = 0.0005
"""How long one thread may keep the interpreter from the other while a model is loaded.

The thread that loads calls its library some forty times, and after each call it waits for the thread that imports, at
most so long. With Python's own 5 ms, the start took 4 % longer on two processors.
"""

_GRACE_S: Final = 1.0
_BACKLOG: Final = 2048
_OTHER_FILES: Final = 128
"""What else the process keeps open: the model, Redis, logs; and connections that are being refused."""


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


def _begin_to_load(settings: Settings) -> "Future[list[Model]]":
    """Load the model in a thread; return when it has imported what it needs.

    What is left it spends outside the interpreter, beside the imports of this thread. Were both to import, they would
    take turns, and the loading would begin when nothing is left to do beside it.
    """
    imported = Event()

    def run() -> "list[Model]":
        try:
            from mlapi.model import load_all  # noqa: PLC0415  half of what there is to import

            return load_all(
                settings.served,
                engine=settings.engine,
                threads=settings.threads,
                clock=time.monotonic,
                imported=imported.set,
                l1_bytes=settings.l1_bytes,
            )
        finally:
            imported.set()

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    thread = ThreadPoolExecutor(1, thread_name_prefix="loading")
    loading = thread.submit(run)
    loading.add_done_callback(lambda _: sys.setswitchinterval(usual_s))
    thread.shutdown(wait=False)
    imported.wait()
    return loading


def _server(settings: Settings, loading: "Future[list[Model]]") -> "DrainingServer":
    # FastAPI's models of OpenAPI documents are built when the first document is, not now: a tenth of the imports.
    BaseModel.model_config["defer_build"] = True
    # Half a second of imports, while the model is loaded.
    from mlapi.app import create_app  # noqa: PLC0415  as the line above says
    from mlapi.server.dialect_path import dialect_paths  # noqa: PLC0415  as the line above says
    from mlapi.server.draining import DrainingServer  # noqa: PLC0415  as the line above says
    from mlapi.server.fast_path import fast_paths  # noqa: PLC0415  as the line above says
    from mlapi.server.fast_protocol import FastHttpConnection  # noqa: PLC0415  as the line above says
    from mlapi.server.shared import Shared  # noqa: PLC0415  as the line above says

    app = create_app(settings, os.environ, loading)
    paths: dict[bytes, Choosy] = {**fast_paths(app), **dialect_paths(app)}
    if settings.hot_texts_bytes:
        from mlapi.server.sampled_path import sampled_paths  # noqa: PLC0415  imported where there is a sample

        paths = sampled_paths(app, paths)
    shared = Shared(paths, app.refusals, connection_limits(settings), app.websockets.keys())
    if app.gate is not None:
        app.gate.on_change(shared.requests.forget)
    connect = partial(FastHttpConnection, shared)
    return DrainingServer(server_config(app, connect, settings), app.drain, settings.drain_s)


def server_config(app: "ASGIApp", connect: "Callable[..., asyncio.Protocol]", settings: Settings) -> "uvicorn.Config":
    """Return how uvicorn is to serve an application; `connect` makes what serves one connection."""
    import uvicorn  # noqa: PLC0415  half a second of imports, while the model is loaded

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        # uvicorn calls it as it calls a class, for each connection.
        http=cast("type[asyncio.Protocol]", connect),
        ws="none",  # the connections themselves change to it
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(settings.deadline_s + _GRACE_S) + 1,
    )


def connection_limits(settings: Settings) -> "Limits":
    """Return the bounds of each connection; fewer of them where the process may open fewer files."""
    from mlapi.server.limits import Limits  # noqa: PLC0415  uvicorn comes with it

    connections = settings.max_connections
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY:
        connections = max(1, min(connections, files - _OTHER_FILES))
    return Limits(
        connections=connections,
        head_bytes=settings.max_head_bytes,
        head_s=settings.head_timeout_s,
        keep_alive_s=settings.keep_alive_s,
    )
