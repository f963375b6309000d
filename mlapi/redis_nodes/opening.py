"""Makes Redis, in the form that the settings name, ready to be asked; nothing is connected yet."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from redis.asyncio.client import Redis
from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mlapi.errors import ConfigurationError
from mlapi.redis_nodes.address import RedisTarget, shown
from mlapi.redis_nodes.base import RedisNodes
from mlapi.redis_nodes.breaker import CircuitBreaker
from mlapi.redis_nodes.circuit import Circuit
from mlapi.redis_nodes.cluster import FAILOVER_BACKOFF_S, LEFT_BEHIND, ClusterNodes, ClusterParts, ClusterWatcher
from mlapi.redis_nodes.file_faults import FileFaults
from mlapi.redis_nodes.one_primary import OnePrimary
from mlapi.redis_nodes.password_file import PasswordFile
from mlapi.redis_nodes.pool import LeanPool
from mlapi.redis_nodes.sentinel import SentinelConnection, SentinelPool, SentinelTlsConnection
from mlapi.redis_nodes.tls import TlsConnection, TlsFiles

_CONNECT_TIMEOUT_S: Final = 1.0
_SENTINEL_TIMEOUT_S: Final = 0.5
_NODE_SHARE: Final = 0.7
"""Of the time budget of a look-up, so that what some nodes replied is read before the budget ends."""
_NODE_FAILURES: Final = 3
"""In a row open a node's circuit: before that of the whole, which takes 5."""
_SERVER_BACKOFF_S: Final = 15.0


class RedisWatcher(ClusterWatcher, Protocol):
    """Who is told what happens to Redis."""

    def files_stale(self, stale: float) -> None:
        """1 while a file with a password or a certificate cannot be used as it is, else 0."""


@dataclass(frozen=True, slots=True)
class OpeningParts:
    """What Redis is opened with.

    Attributes:
        clock: monotonic time in seconds.
        jitter: uniform random numbers in [0, 1).
        watcher: who is told what happens.
        timeout_s: the time budget of one look-up, in seconds.
        connections: how many may be open to one server.
    """

    clock: Callable[[], float]
    jitter: Callable[[], float]
    watcher: RedisWatcher
    timeout_s: float
    connections: int


def open_redis(target: RedisTarget, parts: OpeningParts) -> RedisNodes:
    """Return Redis; each connection is made when it is first used, and again whenever it must be.

    No caller waits for the time limits set here: they bound how long a connection is kept that nobody waits for any
    more. RESP2 without CLIENT SETINFO needs no greeting, and any version of Redis, or proxy in front of it, speaks it.

    Raises:
        ConfigurationError: a file cannot be used, or an option of the URL has a value that makes no sense.
    """
    address = target.address
    faults = FileFaults(parts.watcher.files_stale)
    options = _options(target, parts, faults)
    if address.form == "sentinel":
        return OnePrimary(_sentinel_pool(target, parts, options, faults), max_backoff_s=FAILOVER_BACKOFF_S)
    kind: dict[str, Any] = {"connection_class": TlsConnection if address.tls else Connection}

    def make_pool(host: str, port: int) -> LeanPool:
        return LeanPool(host=host, port=port, **kind, **options)

    if address.form == "standalone":
        return OnePrimary(make_pool(*address.hosts[0]), max_backoff_s=_SERVER_BACKOFF_S)

    def make_circuit(name: str) -> Circuit:
        breaker = CircuitBreaker(
            clock=parts.clock,
            jitter=parts.jitter,
            on_change=lambda _: None,
            threshold=_NODE_FAILURES,
            max_backoff_s=FAILOVER_BACKOFF_S,
        )
        return Circuit(breaker, stopped=f"node {name} is not asked for now", resumed=f"node {name} answers again")

    cluster = ClusterParts(
        make_pool=make_pool,
        make_circuit=make_circuit,
        watcher=parts.watcher,
        clock=parts.clock,
        look_up_s=parts.timeout_s * _NODE_SHARE,
    )
    return ClusterNodes(address.hosts, cluster)


def _options(target: RedisTarget, parts: OpeningParts, faults: FileFaults) -> dict[str, Any]:
    """Return the options of each connection, checked by making what they describe."""
    address, files = target.address, target.files
    options: dict[str, Any] = {
        "protocol": 2,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": max(0.1, 5 * parts.timeout_s),
        "socket_connect_timeout": max(_CONNECT_TIMEOUT_S, 5 * parts.timeout_s),
        "max_connections": parts.connections + (LEFT_BEHIND if address.form == "cluster" else 0),
        "db": address.database,
    }
    try:
        options |= parse_url(f"redis://?{urlencode(address.options)}")
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if files.password is not None:
        options["credential_provider"] = PasswordFile(files.password, address.user, faults)
    elif address.user or address.password:
        options |= {"username": address.user or None, "password": address.password}
    if address.tls:
        named = {
            "ssl_ca_certs": files.authority,
            "ssl_certfile": files.certificate,
            "ssl_keyfile": files.key,
        }
        options |= {name: str(path) for name, path in named.items() if path is not None}
        options["tls"] = TlsFiles(faults)
        _check_tls(options)
    return options


def _check_tls(options: dict[str, Any]) -> None:
    """Read the certificates once: what is wrong with them is to stop the start."""
    tls: TlsFiles = options["tls"]
    try:
        ssl_options = {name: value for name, value in options.items() if name.startswith("ssl_")}
        wanted: RedisSSLContext = SSLConnection(**ssl_options).ssl_context
        tls.context(wanted)
    except (RedisError, ssl.SSLError, TypeError, ValueError) as error:
        msg = f"the options for TLS cannot be used: {error}"
        raise ConfigurationError(msg) from error


def _sentinel_pool(
    target: RedisTarget, parts: OpeningParts, options: dict[str, Any], faults: FileFaults
) -> SentinelPool:
    address = target.address
    asking: dict[str, Any] = {
        "protocol": 2,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
    }
    if target.files.sentinel_password is not None:
        asking["credential_provider"] = PasswordFile(target.files.sentinel_password, target.sentinel_user, faults)
    if address.tls:
        asking |= {name: value for name, value in options.items() if name == "tls" or name.startswith("ssl_")}
    asking["connection_class"] = TlsConnection if address.tls else Connection
    sentinels = Sentinel([])  # type: ignore[no-untyped-call]
    sentinels.sentinels = [Redis.from_pool(LeanPool(host=host, port=port, **asking)) for host, port in address.hosts]
    return SentinelPool(
        address.primary,
        sentinels,
        connection_class=SentinelTlsConnection if address.tls else SentinelConnection,
        on_change=lambda place: parts.watcher.serving({shown(*place): True}),
        **options,
    )
