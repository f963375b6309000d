"""The quotas of all processes in Redis: whatever is charged in one turn of the event loop is one round trip."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, NoScriptError, RedisError

from mlapi.access.quota import DAILY, RATE, Quota, Verdict
from mlapi.cache.circuit import Circuit
from mlapi.cache.failures import Failure
from mlapi.cache.pool import LeanPool

_log = logging.getLogger(__name__)

NAMESPACE: Final = "mlapi:quota:"

_SCRIPT: Final = b"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local need, more = tonumber(ARGV[1]), tonumber(ARGV[2])
local rate, room, per_day = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local day = math.floor(now / 86400)
local held = redis.call('HMGET', KEYS[1], 'paid', 'day', 'used')
local paid = math.max(now, tonumber(held[1] or 0))
local used = tonumber(held[2] or -1) == day and tonumber(held[3]) or 0
if need > 0 then
  if per_day > 0 then
    if used + need > per_day then
      return {'0', tostring((day + 1) * 86400 - now), 'daily', tostring(math.max(0, per_day - used))}
    end
    more = math.min(more, per_day - used - need)
  end
  if rate > 0 then
    local owed = paid - now
    local wait = owed
    if need <= room then wait = owed + (need - room) / rate end
    if wait > 0.000001 then
      return {'0', tostring(wait), 'burst', tostring(math.max(0, room - owed * rate))}
    end
    more = math.min(more, room - owed * rate - need)
  end
  need = need + math.max(0, more)
end
used = math.max(0, used + need)
if rate > 0 then paid = paid + need / rate end
redis.call('HSET', KEYS[1], 'paid', string.format('%.6f', paid), 'day', day, 'used', string.format('%.6f', used))
local keep = paid - now
if per_day > 0 then keep = math.max(keep, (day + 1) * 86400 - now) end
redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * math.max(1, keep)))
return {tostring(need), '0', '', '0'}
"""
"""The same as `Meter`, by the clock of Redis, so that the processes' own need not agree.

KEYS: the key's record. ARGV: texts needed (negative: given back), texts wanted beyond that if there is room, and the
quota's rate, burst and number for a day, 0 where it has none. Returns the fields of a `Verdict`. A number of this size
written by `tostring` has 14 digits: enough for counts and waits, but not for times, which are formatted.
"""

_SHA: Final = sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()


class Charge(NamedTuple):
    """One charge: whose, of which quota, how many texts, and how many more if there is room."""

    key_id: str
    quota: Quota
    need: float
    more: float = 0.0


class SharedQuota:
    """Charges in Redis, as long as that answers in time."""

    def __init__(self, pool: LeanPool, circuit: Circuit, *, clock: Callable[[], float], timeout_s: float) -> None:
        """Prepare; nothing is connected yet.

        Args:
            pool: connections of its own: those of look-ups are counted.
            circuit: whether Redis is asked.
            clock: monotonic seconds, the circuit's.
            timeout_s: how long a charge waits at most.
        """
        self._pool = pool
        self._circuit = circuit
        self._clock = clock
        self._timeout_s = timeout_s
        self._waiting: list[tuple[Charge, asyncio.Future[Verdict | None]]] = []
        self._trips: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether Redis is not asked, until somebody tries again."""
        return self._circuit.open

    async def charge(self, charge: Charge) -> Verdict | None:
        """Charge; None if Redis is not asked for now, or does not answer in time: the caller counts for itself."""
        if not self._circuit.allow():
            return None
        answer: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((charge, answer))
        if self._trips is None or self._trips.done():
            self._trips = asyncio.create_task(self._travel())
        return await answer

    async def close(self) -> None:
        """Ask nothing any more, and close the connections."""
        if self._trips is not None:
            self._trips.cancel()
            await asyncio.gather(self._trips, return_exceptions=True)
        try:
            await self._pool.aclose()
        except (RedisError, OSError) as error:
            _log.debug("closing the connections for quotas failed", exc_info=error)

    async def _travel(self) -> None:
        """Make round trips until nobody waits."""
        while self._waiting:
            trip, self._waiting = self._waiting, []
            verdicts: Sequence[Verdict | None] = [None] * len(trip)
            began = self._clock()
            try:
                async with asyncio.timeout(self._timeout_s):
                    verdicts = await self._ask([charge for charge, _ in trip])
                self._circuit.succeeded(began)
            except (RedisError, OSError) as error:
                self._circuit.failed(began, Failure.of(error))
            finally:
                for (_, answer), verdict in zip(trip, verdicts, strict=True):
                    if not answer.done():
                        answer.set_result(verdict)

    async def _ask(self, charges: Sequence[Charge]) -> list[Verdict]:
        connection = await self._pool.get_connection()
        try:
            try:
                replies = await _call(connection, charges, b"EVALSHA", _SHA)
            except NoScriptError:
                # Redis has forgotten it, or is another one: the script travels along once.
                replies = await _call(connection, charges, b"EVAL", _SCRIPT)
            return [_verdict(reply) for reply in replies]
        except BaseException:
            # What is left of the replies must not be read as those of the next trip.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)


async def _call(connection: AbstractConnection, charges: Sequence[Charge], name: bytes, script: bytes) -> list[Any]:
    """Send all charges and read all replies; of several errors the first is raised."""
    await connection.send_packed_command((b"".join([_command(charge, name, script) for charge in charges]),))
    replies: list[Any] = []
    error: RedisError | None = None
    for _ in charges:
        try:
            replies.append(await connection.read_response(disable_decoding=True, disconnect_on_error=False))
        except NoScriptError as refused:
            error = error or refused
    if error is not None:
        raise error
    return replies


def _command(charge: Charge, name: bytes, script: bytes) -> bytes:
    quota = charge.quota
    numbers = (charge.need, charge.more, quota.rate, quota.room, quota.per_day)
    parts = [name, script, b"1", f"{NAMESPACE}{charge.key_id}".encode(), *(b"%.6f" % number for number in numbers)]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def _verdict(reply: object) -> Verdict:
    match reply:
        case [bytes(granted), bytes(wait), (b"" | b"burst" | b"daily") as policy, bytes(left)]:
            name = {b"burst": RATE, b"daily": DAILY}.get(policy, "")
            return Verdict(float(granted), float(wait), name, float(left))
    msg = "the reply to a charge is no verdict"
    raise InvalidResponse(msg)
