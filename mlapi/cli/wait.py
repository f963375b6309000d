"""`mlapi wait`: waits for what the service would like to have, for a bounded time."""

import asyncio
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import click
from redis.exceptions import RedisError

from mlapi.cli.number_range import NumberRange
from mlapi.errors import ConfigurationError
from mlapi.redis_nodes.address import RedisTarget, read_address
from mlapi.redis_nodes.base import Command, pack
from mlapi.redis_nodes.failures import refusal_code
from mlapi.redis_nodes.opening import OpeningParts, open_redis
from mlapi.settings import read_settings

EXIT_TIME_OVER: Final = 1
EXIT_USAGE: Final = 2

_ATTEMPT_S: Final = 1.0
_PAUSE_S: Final = 0.5
_KEY: Final = b"mlapi:wait"
_KEY_MS: Final = 1000
_PASSING: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)
"""Refusals that end when Redis has loaded, been promoted, or got room; the others take a change of the settings."""


@click.group()
def wait() -> None:
    """Wait for a dependency, for a bounded time."""


@wait.command()
@click.option("--url", help="Redis URL, see docs/settings.md; default: MLAPI_REDIS_URL.")
@click.option(
    "--timeout", "timeout_s", type=NumberRange(min=0), default=30.0, show_default=True, help="Seconds to wait."
)
@click.option("--optional", is_flag=True, help="Exit with 0 when the time is over, too: the service starts without it.")
def redis(url: str | None, timeout_s: float, *, optional: bool) -> None:
    """Wait until Redis's name resolves, it answers PING, and it takes a look-up and a store of this user.

    A cluster is asked at the node that serves one key, Sentinels name the primary that is asked. The other
    MLAPI_REDIS_… settings, such as files with a password and certificates, are read from the environment.

    \b
    Exit codes: 0 it does (or --optional), 1 the time is over or Redis refuses, 2 no usable URL or file.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    url = os.environ.get("MLAPI_REDIS_URL", "") if url is None else url
    try:
        target = _target(url, os.environ)
        if target is None:
            _say("no Redis is configured, nothing to wait for")
            return
        reason = wait_for_redis(target, timeout_s, time.monotonic, time.sleep, _say)
    except ValueError as error:
        _say(f"the Redis URL is not usable: it {error}")
        sys.exit(EXIT_USAGE)
    except ConfigurationError as error:
        _say(error.detail)
        sys.exit(EXIT_USAGE)
    if reason is None:
        return
    _say(f"{reason}; " + ("going on without Redis" if optional else "giving up"))
    sys.exit(0 if optional else EXIT_TIME_OVER)


def wait_for_redis(
    target: RedisTarget,
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    say: Callable[[str], None],
) -> str | None:
    """Resolve Redis's name, then ask it for what the service will, until it does that or `timeout_s` seconds are over.

    There is at least one attempt. A refusal that waiting cannot mend, such as a wrong password, ends it.

    Args:
        target: the Redis.
        timeout_s: seconds to go on trying.
        clock: monotonic seconds.
        sleep: waits so many seconds.
        say: takes progress, one line each time that something changes.

    Returns:
        None when Redis did all of it, else why not.

    Raises:
        ConfigurationError: a file that lets us in cannot be used.
    """
    place = target.address.place
    give_up_at = clock() + timeout_s
    said = None
    while True:
        reason, final = _attempt(target)
        if reason is None:
            say(f"Redis at {place} answers")
            return None
        if reason != said:
            say(f"waiting for Redis at {place}: {reason}")
            said = reason
        if final or clock() + _PAUSE_S > give_up_at:
            return reason
        sleep(_PAUSE_S)


class _Nobody:
    """A `RedisWatcher` that shows nothing."""

    def redirected(self, kind: str) -> None:
        """See `RedisWatcher`."""

    def serving(self, nodes: Mapping[str, bool]) -> None:
        """See `RedisWatcher`."""

    def files_stale(self, stale: float) -> None:
        """See `RedisWatcher`."""


def _target(url: str, environment: Mapping[str, str]) -> RedisTarget | None:
    """Return the Redis of a URL, and of the other settings that concern it; None where it is empty.

    Raises:
        ValueError: no Redis URL; the message does not repeat it.
        ConfigurationError: the other settings do not fit.
    """
    if url:
        read_address(url)
    given = {name: value for name, value in environment.items() if name.startswith("MLAPI_REDIS_")}
    return read_settings(given | {"MLAPI_REDIS_URL": url}).redis_target


def _attempt(target: RedisTarget) -> tuple[str | None, bool]:
    """Try once; return what is missing, and whether waiting cannot mend it."""
    unknown: list[OSError] = []
    for host, port in target.address.hosts:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            unknown.append(error)
    if len(unknown) == len(target.address.hosts):
        return f"its name does not resolve ({unknown[0]})", False
    return asyncio.run(_ask(target))


async def _ask(target: RedisTarget) -> tuple[str | None, bool]:
    """Ask Redis as the service will, from connecting on; return as `_attempt` does."""
    parts = OpeningParts(
        clock=time.monotonic, jitter=random.random, watcher=_Nobody(), timeout_s=_ATTEMPT_S, connections=1
    )
    nodes = open_redis(target, parts)
    store = Command(_KEY, pack(b"SET", _KEY, b"", b"PX", b"%d" % _KEY_MS))
    try:
        for what, ask in (
            ("PING", partial(nodes.pipeline, [Command(_KEY, pack(b"PING"))], limit_s=_ATTEMPT_S)),
            ("look-ups", partial(nodes.mget, [_KEY])),
            ("stores", partial(nodes.pipeline, [store], limit_s=_ATTEMPT_S)),
        ):
            try:
                async with asyncio.timeout(_ATTEMPT_S):
                    (reply,) = await ask()
            except (RedisError, OSError) as error:
                reply = error
            if isinstance(reply, RedisError | OSError):
                code = refusal_code(reply)
                if code is None:
                    return f"it does not answer ({type(reply).__name__})", False
                if code == "LOADING":
                    return "it is loading its data", False
                # Who may look up and store needs no right to PING.
                if code != "NOPERM" or what != "PING":
                    return f"it refuses {what} ({code}: {reply})", code not in _PASSING
    finally:
        await nodes.close()
    return None, False


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)
