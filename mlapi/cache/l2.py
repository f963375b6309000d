"""L2: predictions in Redis, shared by every replica and never needed by any.

Fail open: whatever Redis does, a look-up ends within its time budget, at worst with misses, and a store never waits.

- Look-ups of all callers in one turn of the event loop are one MGET. One that fails or takes too long counts for their
  circuit breaker; while that is open, Redis is not asked.
- Stores are written behind the answer, in pipelines, and have a circuit breaker of their own: a Redis that refuses
  writes (full, a replica, not this user's right) still answers look-ups, and one that refuses look-ups may take writes.
- A Redis that does not answer look-ups at all is not sent stores either: they have a second, not 20 ms, and would find
  out more slowly. Every store follows a look-up that missed, so look-ups see Redis come and go first.
- A server that says it is a replica may have been the primary when we connected. All connections are made anew, so that
  a name that stands for another server by now is resolved again.
- Of a cluster, nodes that do not answer cost only the texts that they hold: each of those is counted for itself, and
  the circuit breakers here are told of a failure only where no node answers.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal

from redis.exceptions import InvalidResponse, RedisError

from mlapi.cache.coalescer import Answers, Coalescer, Deliver, Trip
from mlapi.cache.codec import Codec, CorruptRecordError
from mlapi.cache.keys import redis_key, redis_keys
from mlapi.cache.write_behind import WriteBehind
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from mlapi.redis_nodes.base import Command, NodeAwayError, RedisNodes, pack
from mlapi.redis_nodes.breaker import CircuitBreaker
from mlapi.redis_nodes.circuit import Circuit
from mlapi.redis_nodes.failures import Failure

_WRITE_TIMEOUT_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 1.0
_GET_RESULTS: Final = ("hit", "miss", "corrupt", "refused", "error", "timeout", "skipped")
_SET_RESULTS: Final = ("ok", "refused", "withheld", "error", "timeout", "skipped", "dropped")
_NO_ANSWER: Final = Failure("timeout", "no answer in time", "no answer within the time budget of a look-up")

_logger = logging.getLogger(__name__)


class RedisServer:
    """One Redis, as all models of a process share it: its connections, and whether it works.

    Attributes:
        nodes: from `open_redis`.
        look_ups: whether it is asked.
        stores: whether it is sent what is to be stored.
    """

    def __init__(self, nodes: RedisNodes, *, breaker: CircuitBreaker, write_breaker: CircuitBreaker) -> None:
        """Take the connections, and a breaker each for look-ups and stores; nothing is connected yet."""
        self.nodes = nodes
        self.look_ups = Circuit(breaker, stopped="Redis is not asked for now", resumed="Redis answers again")
        self.stores = Circuit(write_breaker, stopped="nothing is stored in Redis for now", resumed="Redis stores again")

    @property
    def state(self) -> Literal["ok", "degraded"]:
        """`degraded` from when look-ups or stores fail until they work again; `ok` else, so also before the first."""
        return "ok" if self.reason is None else "degraded"

    @property
    def reason(self) -> str | None:
        """Why it is degraded, for anyone to read; None where it is not."""
        named = (("look-ups", self.look_ups.failure), ("stores", self.stores.failure))
        reasons = [f"{name}: {failure.reason}" for name, failure in named if failure]
        return "; ".join(reasons) or self.nodes.trouble

    @property
    def silent(self) -> bool:
        """Whether Redis is not asked because it did not reply at all."""
        failure = self.look_ups.failure
        return failure is not None and failure.result != "refused"


class RedisStore:
    """One model's predictions in Redis by text digest.

    Attributes:
        server: the Redis that holds them.
    """

    def __init__(
        self,
        server: RedisServer,
        codec: Codec,
        *,
        namespace: bytes,
        metrics: Metrics,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        ttl_s: float,
        timeout_s: float = 0.020,
        max_pending_writes: int = 8192,
    ) -> None:
        """Prepare; Redis is first needed by the first look-up.

        Args:
            server: the Redis; not closed with the store.
            codec: of the model whose predictions these are.
            namespace: of the same model, from `mlapi.cache.keys`.
            metrics: where operations, durations and dropped stores are shown.
            clock: monotonic time in seconds, the same as the breakers'.
            jitter: uniform random numbers in [0, 1).
            ttl_s: how long Redis keeps an entry, in seconds; each lives between 0.9 and 1.1 times as long.
            timeout_s: how long a look-up waits at most, in seconds.
            max_pending_writes: how many predictions wait to be stored at most; the rest is dropped.
        """
        self.server = server
        self._codec = codec
        self._namespace = namespace
        self._clock = clock
        self._jitter = jitter
        self._ttl_ms = ttl_s * 1000
        self._lookups = Coalescer(self._ask, self._expired, clock=clock, timeout_s=timeout_s)
        self._writes = WriteBehind(self._write, max_pending=max_pending_writes)
        self._closed = False
        self._allow = server.look_ups.allow
        self._gets = {result: metrics.cache_operations.labels("l2", "get", result) for result in _GET_RESULTS}
        self._sets = {result: metrics.cache_operations.labels("l2", "set", result) for result in _SET_RESULTS}
        self._get_duration = metrics.cache_operation_duration.labels("l2", "get")
        self._set_duration = metrics.cache_operation_duration.labels("l2", "set")
        self._writes_dropped = metrics.cache_writes_dropped

    def may_ask(self) -> bool:
        """Whether Redis is to be asked now; a caller that gets True must follow up with `request`."""
        return not self._closed and self._allow()

    def request(self, digests: Sequence[bytes], deliver: Deliver) -> None:
        """Ask, once `may_ask` said so, for at least one text; call back within the time budget, never synchronously."""
        self._lookups.request(digests, deliver)

    def skip(self, texts: int) -> None:
        """Count texts that were not asked for because `may_ask` said so."""
        self._gets["skipped"].inc(texts)

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> AbstractSet[bytes]:
        """Accept predictions for storing soon; what cannot be accepted is dropped and counted.

        Returns:
            The texts that will not be stored, or about which that is not certain, because they only try whether Redis
            takes them again.

        Raises:
            ValueError: a prediction that must not be stored, see `Codec.encode`.
        """
        records = {digest: self._codec.encode(digest, prediction) for digest, prediction in predictions.items()}
        if self._closed or self.server.silent:
            return self._drop(records.keys(), "skipped")
        probes = self.server.stores.failure is not None
        if probes and not self.server.stores.allow():
            return self._drop(records.keys(), "withheld")
        refused = self._drop(self._writes.add(records), "dropped")
        return records.keys() if probes else refused

    async def flush(self) -> None:
        """Wait until everything accepted so far is stored or dropped."""
        await self._writes.flush()

    async def close(self) -> None:
        """Store what is pending, for a second at most, and ask nothing any more."""
        self._closed = True
        given_up = self._drop(await self._writes.close(_CLOSE_TIMEOUT_S), "dropped")
        if given_up:
            _logger.warning("the end came before %d predictions were stored in Redis", len(given_up))
        await self._lookups.close()

    async def _ask(self, trip: Trip) -> Answers:
        try:
            with self._get_duration.time():
                records = await self.server.nodes.mget(redis_keys(self._namespace, trip.digests))
        except (RedisError, OSError) as error:
            if not trip.settled:
                failure = Failure.of(error)
                self._failed(trip, failure)
                await self._follow(failure)
            return {}
        return {} if trip.settled else self._read(trip, records)

    def _read(self, trip: Trip, records: Sequence[Any]) -> Answers:
        answers: dict[bytes, Prediction] = {}
        decode = self._codec.decode
        hits = misses = corrupt = 0
        errors: list[tuple[int, Any]] = []
        for (digest, texts), record in zip(trip.digests.items(), records, strict=True):
            if record is None:
                misses += texts
                continue
            try:
                answers[digest] = decode(digest, record)
            except CorruptRecordError:
                corrupt += texts
            except TypeError:
                if isinstance(record, bytes):
                    raise
                errors.append((texts, record))
            else:
                hits += texts
        for result, count in (("hit", hits), ("miss", misses), ("corrupt", corrupt)):
            if count:
                self._gets[result].inc(count)
        for texts, missing in errors:
            self._gets[_result(missing)].inc(texts)
        _report(self.server.look_ups, trip.began, [missing for _, missing in errors], len(records))
        return answers

    def _expired(self, trip: Trip) -> None:
        self._failed(trip, _NO_ANSWER)

    def _failed(self, trip: Trip, failure: Failure) -> None:
        self._gets[failure.result].inc(sum(trip.digests.values()))
        self.server.look_ups.failed(trip.began, failure)

    async def _write(self, records: Mapping[bytes, bytes]) -> None:
        if self.server.silent:
            self._drop(records.keys(), "skipped")
            return
        if self.server.stores.open:
            self._drop(records.keys(), "withheld")
            return
        commands = [self._set(digest, record) for digest, record in records.items()]
        began = self._clock()
        try:
            with self._set_duration.time():
                replies = await self.server.nodes.pipeline(commands, limit_s=_WRITE_TIMEOUT_S)
            outcomes = list(map(_error, replies))
        except (RedisError, OSError) as error:
            failure = Failure.of(error)
            self._drop(records.keys(), failure.result)
            self.server.stores.failed(began, failure)
            return
        failed = {digest: outcome for digest, outcome in zip(records, outcomes, strict=True) if outcome is not None}
        self._sets["ok"].inc(len(records) - len(failed))
        for digest, outcome in failed.items():
            self._drop({digest}, _result(outcome))
        if not failed:
            before = self.server.stores.failure
            self.server.stores.succeeded(began)
            if before is not None and self.server.stores.failure is None:
                # Connections made while a failover was under way may lead to the old primary, whose copy still answers.
                await self._follow(before)
            return
        refusals = [failure for why in failed.values() if (failure := Failure.of(why)).result == "refused"]
        if refusals:
            self.server.stores.failed(began, refusals[0])
            await self._follow(refusals[0])
        else:
            _report(self.server.stores, began, list(failed.values()), len(records))

    def _set(self, digest: bytes, record: bytes) -> Command:
        key = redis_key(self._namespace, digest)
        ttl_ms = int(self._ttl_ms * (0.9 + 0.2 * self._jitter()))
        return Command(key, pack(b"SET", key, record, b"PX", b"%d" % ttl_ms))

    async def _follow(self, failure: Failure) -> None:
        """Make all connections anew if the server turned out to be a replica: its name may stand for another by now."""
        if failure.new_role:
            await self.server.nodes.renew()

    def _drop(self, digests: AbstractSet[bytes], result: str) -> AbstractSet[bytes]:
        """Count texts that are not stored, and return them."""
        if digests:
            self._sets[result].inc(len(digests))
            self._writes_dropped.inc(len(digests))
        return digests


def _error(reply: object) -> RedisError | OSError | None:
    """Return why a record was not stored; None if it was."""
    if reply == b"OK":
        return None
    if isinstance(reply, RedisError | OSError):
        return reply
    msg = "the reply to SET is neither OK nor an error"
    raise InvalidResponse(msg)


def _result(error: object) -> str:
    """Return the word of the metrics for what stands in the place of a reply."""
    if isinstance(error, NodeAwayError):
        return "skipped"
    # What is no record at all is in the place of one that was refused.
    return Failure.of(error).result if isinstance(error, RedisError | OSError) else "refused"


def _report(circuit: Circuit, began: float, errors: Sequence[object], asked: int) -> None:
    """Tell a circuit how an operation went: it worked if any reply came, and says nothing if nobody was asked."""
    if len(errors) < asked:
        circuit.succeeded(began)
        return
    tried = [error for error in errors if not isinstance(error, NodeAwayError)]
    if tried:
        circuit.failed(began, Failure.of(tried[0]))
