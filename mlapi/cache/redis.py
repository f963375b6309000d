"""L2: predictions in Redis, shared by every replica and never needed by any.

Fail open: whatever Redis does, a look-up ends within its time budget, at worst with misses, and a store never waits.

- Look-ups of all callers in one turn of the event loop are one MGET. One that fails or takes too long counts for the
  circuit breaker; while that is open, Redis is not asked.
- Stores are written behind the answer, in pipelines. They obey the breaker and do not move it: a Redis that refuses
  writes (full, a read-only replica) still answers look-ups, and one that accepts writes but is too slow to read from
  must not keep the circuit closed. Every store follows a look-up that missed: look-ups alone see Redis come and go.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mlapi.cache.breaker import BreakerState, CircuitBreaker
from mlapi.cache.coalescer import MAX_IN_FLIGHT, Answers, Coalescer, Deliver, Trip
from mlapi.cache.codec import Codec, CorruptRecordError
from mlapi.cache.keys import redis_key
from mlapi.cache.mget import Mget
from mlapi.cache.write_behind import WriteBehind
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction

_CONNECT_TIMEOUT_S: Final = 1.0
_WRITE_TIMEOUT_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 1.0
_GET_RESULTS: Final = ("hit", "miss", "corrupt", "error", "timeout", "skipped")
_SET_RESULTS: Final = ("ok", "error", "timeout", "skipped", "dropped")

_logger = logging.getLogger(__name__)


def connect(url: str, *, timeout_s: float) -> Redis:
    """Return a client for `RedisStore`; it connects when it is first used, and again whenever it must.

    No caller waits for the time limits set here: they bound how long a connection is kept that nobody waits for any
    more. RESP2 without CLIENT SETINFO needs no greeting, and any version of Redis, or proxy in front of it, speaks it.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database where needed; see
            `redis.asyncio.Redis.from_url`, whose query options apply.
        timeout_s: the time budget of one look-up, in seconds.

    Raises:
        ValueError: not such a URL.
    """
    return Redis.from_url(
        url,
        protocol=2,
        driver_info=None,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=max(0.1, 5 * timeout_s),
        socket_connect_timeout=max(_CONNECT_TIMEOUT_S, 5 * timeout_s),
        max_connections=MAX_IN_FLIGHT + 1,
    )


class RedisStore:
    """Predictions in Redis by text digest."""

    def __init__(
        self,
        client: Redis,
        codec: Codec,
        *,
        namespace: bytes,
        breaker: CircuitBreaker,
        metrics: Metrics,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        ttl_s: float,
        timeout_s: float = 0.020,
        max_pending_writes: int = 8192,
    ) -> None:
        """Prepare; Redis is first needed by the first look-up.

        Args:
            client: from `connect`; closed with the store.
            codec: of the model whose predictions these are.
            namespace: of the same model, from `mlapi.cache.keys`.
            breaker: decides whether Redis is asked.
            metrics: where operations, durations and dropped stores are shown.
            clock: monotonic time in seconds, the same as the breaker's.
            jitter: uniform random numbers in [0, 1).
            ttl_s: how long Redis keeps an entry, in seconds; each lives between 0.9 and 1.1 times as long.
            timeout_s: how long a look-up waits at most, in seconds.
            max_pending_writes: how many predictions wait to be stored at most; the rest is dropped.
        """
        self._client = client
        self._codec = codec
        self._namespace = namespace
        self._mget = Mget(client.connection_pool, namespace)
        self._breaker = breaker
        self._clock = clock
        self._jitter = jitter
        self._ttl_ms = ttl_s * 1000
        self._lookups = Coalescer(self._ask, self._expired, clock=clock, timeout_s=timeout_s)
        self._writes = WriteBehind(self._write, max_pending=max_pending_writes)
        self._closed = False
        self._answered_at: float | None = None
        self._gets = {result: metrics.cache_operations.labels("l2", "get", result) for result in _GET_RESULTS}
        self._sets = {result: metrics.cache_operations.labels("l2", "set", result) for result in _SET_RESULTS}
        self._get_duration = metrics.cache_operation_duration.labels("l2", "get")
        self._set_duration = metrics.cache_operation_duration.labels("l2", "set")
        self._writes_dropped = metrics.cache_writes_dropped

    @property
    def state(self) -> Literal["ok", "degraded"]:
        """`degraded` from when the circuit opens until a look-up succeeds; `ok` else, so also before the first."""
        return "ok" if self._breaker.state is BreakerState.CLOSED else "degraded"

    @property
    def idle_s(self) -> float | None:
        """Seconds since Redis last answered a look-up; None if it never did."""
        return None if self._answered_at is None else self._clock() - self._answered_at

    def may_ask(self) -> bool:
        """Whether Redis is to be asked now; whoever is told so, asks."""
        return not self._closed and self._breaker.allow()

    def request(self, digests: Sequence[bytes], deliver: Deliver) -> None:
        """Ask, once `may_ask` has said so, for at least one text; call back within the time budget, never at once."""
        self._lookups.request(digests, deliver)

    async def get_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what Redis holds and answers within the time budget, in the order asked for; never raises."""
        if not self.may_ask():
            self._gets["skipped"].inc(len(digests))
            return [None] * len(digests)
        return await self._lookups.get_many(digests)

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Accept predictions for storing soon; what cannot be accepted is dropped and counted.

        Raises:
            ValueError: a prediction that must not be stored, see `Codec.encode`.
        """
        records = {digest: self._codec.encode(digest, prediction) for digest, prediction in predictions.items()}
        if self._closed or self._breaker.state is not BreakerState.CLOSED:
            self._drop(len(records), "skipped")
        else:
            self._drop(self._writes.add(records), "dropped")

    async def flush(self) -> None:
        """Wait until everything accepted so far is stored or dropped."""
        await self._writes.flush()

    async def close(self) -> None:
        """Store what is pending, for a second at most, and close the connections."""
        self._closed = True
        self._drop(await self._writes.close(_CLOSE_TIMEOUT_S), "dropped")
        await self._lookups.close()
        with suppress(RedisError, OSError):
            await self._client.aclose()

    async def _ask(self, trip: Trip) -> Answers:
        try:
            with self._get_duration.time():
                records = await self._mget(trip.digests)
        except (RedisError, OSError) as error:
            if not trip.settled:
                result = "timeout" if isinstance(error, RedisTimeoutError) else "error"
                self._failed(trip, result, f"{type(error).__name__}: {error}")
            return {}
        self._answered_at = self._clock()
        return {} if trip.settled else self._read(trip, records)

    def _read(self, trip: Trip, records: Sequence[bytes | None]) -> Answers:
        before = self.state
        self._breaker.succeeded(trip.began)
        if before != self.state:
            _logger.info("Redis answers again")
        answers: dict[bytes, Prediction] = {}
        decode = self._codec.decode
        hits = misses = corrupt = 0
        for (digest, texts), record in zip(trip.digests.items(), records, strict=True):
            if record is None:
                misses += texts
                continue
            try:
                answers[digest] = decode(digest, record)
            except CorruptRecordError:
                corrupt += texts
            else:
                hits += texts
        for result, count in (("hit", hits), ("miss", misses), ("corrupt", corrupt)):
            if count:
                self._gets[result].inc(count)
        return answers

    def _expired(self, trip: Trip) -> None:
        self._failed(trip, "timeout", "no answer within the time budget of a look-up")

    def _failed(self, trip: Trip, result: str, reason: str) -> None:
        self._gets[result].inc(sum(trip.digests.values()))
        before = self.state
        self._breaker.failed(trip.began)
        if before != self.state:
            _logger.warning("Redis is not asked for now: %s", reason)

    async def _write(self, records: Mapping[bytes, bytes]) -> None:
        if self._breaker.state is not BreakerState.CLOSED:
            self._drop(len(records), "skipped")
            return
        try:
            with self._set_duration.time():
                async with asyncio.timeout(_WRITE_TIMEOUT_S), self._client.pipeline(transaction=False) as pipeline:
                    for digest, record in records.items():
                        ttl_ms = int(self._ttl_ms * (0.9 + 0.2 * self._jitter()))
                        pipeline.set(redis_key(self._namespace, digest), record, px=ttl_ms)
                    replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            slow = isinstance(error, RedisTimeoutError | TimeoutError)
            self._drop(len(records), "timeout" if slow else "error")
            return
        refused = sum(isinstance(reply, Exception) for reply in replies)
        self._sets["ok"].inc(len(replies) - refused)
        self._drop(refused, "error")

    def _drop(self, count: int, result: str) -> None:
        if count:
            self._sets[result].inc(count)
            self._writes_dropped.inc(count)
