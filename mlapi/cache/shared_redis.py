"""Opens the Redis that all models of a process share, and shows in the metrics what happens to it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mlapi.cache.coalescer import MAX_IN_FLIGHT
from mlapi.cache.codec import Codec
from mlapi.cache.keys import namespace
from mlapi.cache.l2 import RedisServer, RedisStore
from mlapi.observability.metrics import Metrics
from mlapi.postprocessing import Postprocessor
from mlapi.redis_nodes.base import RedisNodes
from mlapi.redis_nodes.breaker import CircuitBreaker
from mlapi.redis_nodes.opening import OpeningParts, open_redis

if TYPE_CHECKING:
    from mlapi.redis_nodes.address import RedisTarget


def open_nodes(
    target: "RedisTarget",
    metrics: Metrics,
    *,
    models: int,
    timeout_s: float,
    clock: Callable[[], float],
    jitter: Callable[[], float],
) -> RedisNodes:
    """Return Redis, for so many models, and quotas beside them.

    Raises:
        ConfigurationError: a file that lets us in cannot be used, or an option of the URL.
    """
    parts = OpeningParts(
        clock=clock,
        jitter=jitter,
        watcher=RedisWatch(metrics),
        timeout_s=timeout_s,
        # Each model's look-ups and its stores, and the charges of quotas.
        connections=models * (MAX_IN_FLIGHT + 1) + 1,
    )
    return open_redis(target, parts)


def open_server(
    nodes: RedisNodes, metrics: Metrics, *, clock: Callable[[], float], jitter: Callable[[], float]
) -> RedisServer:
    """Return Redis as the models' stores use it, with circuit breakers that the metrics show."""

    def breaker(show: Callable[[float], None]) -> CircuitBreaker:
        return CircuitBreaker(
            clock=clock,
            jitter=jitter,
            on_change=lambda state: show(state.value),
            max_backoff_s=nodes.max_backoff_s,
        )

    return RedisServer(
        nodes,
        breaker=breaker(metrics.cache_breaker_state.set),
        write_breaker=breaker(metrics.cache_write_breaker_state.set),
    )


def open_store(
    redis: RedisServer,
    digest: str,
    postprocessor: Postprocessor,
    *,
    metrics: Metrics,
    ttl_s: float,
    timeout_s: float,
    clock: Callable[[], float],
    jitter: Callable[[], float],
    max_pending_writes: int = 8192,
) -> RedisStore:
    """Return the predictions of the model with this digest."""
    return RedisStore(
        redis,
        Codec(digest, postprocessor),
        namespace=namespace(digest),
        metrics=metrics,
        clock=clock,
        jitter=jitter,
        ttl_s=ttl_s,
        timeout_s=timeout_s,
        max_pending_writes=max_pending_writes,
    )


class RedisWatch:
    """A `RedisWatcher`."""

    def __init__(self, metrics: Metrics) -> None:
        """Take the metrics; no node is known yet."""
        self._up = metrics.redis_node_up
        self._changes = metrics.redis_primary_changes
        self._stale = metrics.redis_files_stale
        self._redirects = {kind: metrics.redis_redirects.labels(kind) for kind in ("moved", "ask")}
        self._known: frozenset[str] = frozenset()

    def redirected(self, kind: str) -> None:
        """Count a command that was sent on."""
        self._redirects[kind].inc()

    def serving(self, nodes: Mapping[str, bool]) -> None:
        """Show the primaries, and count if they are others than before."""
        names = frozenset(nodes)
        for gone in self._known - names:
            self._up.remove(gone)
        for name, asked in nodes.items():
            self._up.labels(name).set(asked)
        if self._known and names != self._known:
            self._changes.inc()
        self._known = names

    def files_stale(self, stale: float) -> None:
        """Show whether a file cannot be used as it is."""
        self._stale.set(stale)
