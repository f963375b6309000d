"""`mlapi wait`: waits for what the service would like to have, for a bounded time."""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import unquote, urlsplit

import click
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from mlapi.cache.failures import refusal_code

EXIT_TIME_OVER: Final = 1
EXIT_USAGE: Final = 2

_ATTEMPT_S: Final = 1.0
_PAUSE_S: Final = 0.5
_KEY: Final = "mlapi:wait"
_KEY_MS: Final = 1000
_PASSING: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)
"""Refusals that end when Redis has loaded, been promoted, or got room; the others take a change of the settings."""


@click.group()
def wait() -> None:
    """Wait for a dependency, for a bounded time."""


@wait.command()
@click.option("--url", help="redis:// or rediss:// URL; default: MLAPI_REDIS_URL.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds to wait."
)
@click.option("--optional", is_flag=True, help="Exit with 0 when the time is over, too: the service starts without it.")
def redis(url: str | None, timeout_s: float, *, optional: bool) -> None:
    """Wait until Redis's name resolves, it answers PING, and it takes a look-up and a store of this user.

    \b
    Exit codes: 0 it does (or --optional), 1 the time is over or Redis refuses, 2 no usable URL.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    url = os.environ.get("MLAPI_REDIS_URL", "") if url is None else url
    if not url:
        click.echo("mlapi: no Redis is configured, nothing to wait for", err=True)
        return
    try:
        reason = wait_for_redis(url, timeout_s, time.monotonic, time.sleep, _say)
    except ValueError:
        # What the parser says may quote the password, if that holds a character that should have been escaped.
        click.echo("mlapi: the Redis URL is not usable: it is like redis://user:password@host:6379/0", err=True)
        sys.exit(EXIT_USAGE)
    if reason is None:
        return
    _say(f"{reason}; " + ("going on without Redis" if optional else "giving up"))
    sys.exit(0 if optional else EXIT_TIME_OVER)


def wait_for_redis(
    url: str,
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    say: Callable[[str], None],
) -> str | None:
    """Resolve Redis's name, then ask it for what the service will, until it does that or `timeout_s` seconds are over.

    There is at least one attempt. A refusal that waiting cannot mend, such as a wrong password, ends it.

    Args:
        url: `redis://` or `rediss://`.
        timeout_s: seconds to go on trying.
        clock: monotonic seconds.
        sleep: waits so many seconds.
        say: takes progress, one line each time that something changes.

    Returns:
        None when Redis did all of it, else why not.

    Raises:
        ValueError: not a Redis URL.
    """
    client = Redis.from_url(
        url, socket_timeout=_ATTEMPT_S, socket_connect_timeout=_ATTEMPT_S, retry=Retry(NoBackoff(), 0)
    )
    address = urlsplit(url)
    host, port = unquote(address.hostname or "localhost"), address.port or 6379
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    give_up_at = clock() + timeout_s
    said = None
    while True:
        reason, final = _attempt(client, host, port)
        if reason is None:
            say(f"Redis at {place} answers")
            return None
        if reason != said:
            say(f"waiting for Redis at {place}: {reason}")
            said = reason
        if final or clock() + _PAUSE_S > give_up_at:
            return reason
        sleep(_PAUSE_S)


def _attempt(client: Redis, host: str, port: int) -> tuple[str | None, bool]:
    """Try once; return what is missing, and whether waiting cannot mend it."""
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"its name does not resolve ({error})", False
    for what, ask in (
        ("PING", client.ping),
        ("look-ups", partial(client.mget, _KEY)),
        ("stores", partial(client.set, _KEY, b"", px=_KEY_MS)),
    ):
        try:
            ask()
        except (RedisError, OSError) as error:
            code = refusal_code(error)
            if code is None:
                return f"it does not answer ({type(error).__name__})", False
            if code == "LOADING":
                return "it is loading its data", False
            # Who may look up and store needs no right to PING.
            if code != "NOPERM" or what != "PING":
                return f"it refuses {what} ({code}: {error})", code not in _PASSING
    return None, False


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)
