"""What the tests of the cache build their stores and predictions from."""

import asyncio
import random
import struct
import time
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from mlapi.cache.coalescer import Coalescer
from mlapi.cache.codec import Codec
from mlapi.cache.keys import KeyMaker, namespace
from mlapi.cache.l1 import MemoryStore
from mlapi.cache.l2 import RedisServer, RedisStore
from mlapi.cache.shared_redis import open_nodes
from mlapi.cache.tiered import TieredStore
from mlapi.dialects.ranked import RankedLabels
from mlapi.observability.metrics import Metrics
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Found, Prediction
from mlapi.redis_nodes.address import RedisFiles, RedisTarget, read_address
from mlapi.redis_nodes.base import RedisNodes
from mlapi.redis_nodes.breaker import CircuitBreaker

MODEL = "5e" * 32
OTHER_MODEL = "a7" * 32
POSTPROCESSOR = Postprocessor(["NEGATIVE", "POSITIVE"], "softmax")
NAMESPACE = namespace(MODEL)
CODEC = Codec(MODEL, POSTPROCESSOR)
RANKED = RankedLabels(POSTPROCESSOR)
NO_FILES = RedisFiles()
_KEYS = KeyMaker(MODEL)


def digest(text: str) -> bytes:
    """Return the digest of a text that is in canonical form."""
    # Half a surrogate pair cannot reach the service, but property tests draw them.
    return _KEYS.digest(text.encode(errors="surrogatepass"))


class Clock:
    """Time that passes only when a test says so, in seconds."""

    def __init__(self) -> None:
        """Start anywhere but at zero."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def float32(number: float) -> float:
    """Round to the nearest number that float32 can hold, as the logits of an engine are."""
    rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return rounded


def prediction(positive: float = 0.7127904295921326, *, tokens: int = 7, truncated: bool = False) -> Prediction:
    """Return a prediction of two labels; `positive` is the logit of the second, and the first one's is its opposite."""
    logit = float32(positive)
    return POSTPROCESSOR.prediction((-logit, logit), tokens=tokens, truncated=truncated)


def texts(count: int, stem: str = "text") -> list[bytes]:
    """Return the digests of that many different texts."""
    return [digest(f"{stem} {number}") for number in range(count)]


def memory_store(
    metrics: Metrics, *, max_bytes: int = 1 << 20, ttl_s: float = 60.0, clock: Callable[[], float] = time.monotonic
) -> MemoryStore:
    """Return an L1 whose entries live exactly `ttl_s`."""
    return MemoryStore(max_bytes=max_bytes, ttl_s=ttl_s, clock=clock, jitter=lambda: 0.5, metrics=metrics)


class OwnRedisStore(RedisStore):
    """A store that is the only one of its server."""

    async def close(self) -> None:
        """Close the server with it."""
        await super().close()
        await self.server.nodes.close()


def redis_nodes(
    url: str,
    metrics: Metrics,
    *,
    timeout_s: float,
    files: RedisFiles = NO_FILES,
    sentinel_user: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> RedisNodes:
    """Return the Redis of a URL, for one model."""
    target = RedisTarget(read_address(url), files, sentinel_user)
    return open_nodes(target, metrics, models=1, timeout_s=timeout_s, clock=clock, jitter=random.random)


def redis_store(
    url: str,
    metrics: Metrics,
    *,
    timeout_s: float = 0.5,
    backoff_s: float = 0.02,
    max_pending_writes: int = 8192,
    files: RedisFiles = NO_FILES,
    sentinel_user: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> RedisStore:
    """Return an L2 with a time budget that a busy test machine keeps, and breakers that probe soon."""

    def breaker(gauge: Gauge) -> CircuitBreaker:
        return CircuitBreaker(
            clock=clock,
            jitter=random.random,
            on_change=lambda state: gauge.set(state.value),
            backoff_s=backoff_s,
            max_backoff_s=4 * backoff_s,
        )

    server = RedisServer(
        redis_nodes(url, metrics, timeout_s=timeout_s, files=files, sentinel_user=sentinel_user, clock=clock),
        breaker=breaker(metrics.cache_breaker_state),
        write_breaker=breaker(metrics.cache_write_breaker_state),
    )
    return OwnRedisStore(
        server,
        CODEC,
        namespace=NAMESPACE,
        metrics=metrics,
        clock=clock,
        jitter=random.random,
        ttl_s=60.0,
        timeout_s=timeout_s,
        max_pending_writes=max_pending_writes,
    )


async def fetch(store: RedisStore | Coalescer, digests: Sequence[bytes]) -> list[Prediction | None]:
    """Return what L2 holds, in the order asked for; None where it is not to be asked."""
    if not digests or (isinstance(store, RedisStore) and not store.may_ask()):
        if isinstance(store, RedisStore):
            store.skip(len(digests))
        return [None] * len(digests)
    found: asyncio.Future[list[Prediction | None]] = asyncio.get_running_loop().create_future()
    store.request(digests, lambda result: None if found.done() else found.set_result(result))
    return await found


async def find(store: TieredStore, digests: Sequence[bytes], *, keep: bool = True) -> Found:
    """Return what both tiers hold; L1 alone where L2 is not to be asked."""
    found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
    return await found if store.look_up(digests, found.set_result, keep=keep) else store.held(digests)


def operations(metrics: Metrics, tier: str, operation: str) -> dict[str, int]:
    """Return how many texts each result was counted for, results without any left out."""
    return {
        sample.labels["result"]: int(sample.value)
        for family in metrics.cache_operations.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
        if (sample.labels["tier"], sample.labels["operation"]) == (tier, operation)
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return one sample as a scrape would show it."""
    return metrics.registry.get_sample_value(name, labels)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has become true, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition, not only one that could set an event
            await asyncio.sleep(0.001)
