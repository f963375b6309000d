"""The quotas of all processes in Redis: whatever is charged in one turn of the event loop is one round trip."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, NamedTuple

from redis.exceptions import InvalidResponse, NoScriptError, RedisError

from mlapi.access.quota import DAILY, RATE, Quota, Verdict
from mlapi.redis_nodes.base import Command, NodeAwayError, RedisNodes, pack
from mlapi.redis_nodes.circuit import Circuit
from mlapi.redis_nodes.failures import Failure

NAMESPACE: Final = "mlapi:quota:"

_SHARE: Final = 0.7
"""Of the time budget of a charge, so that what some nodes of a cluster replied counts although another did not."""

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

    def __init__(self, nodes: RedisNodes, circuit: Circuit, *, clock: Callable[[], float], timeout_s: float) -> None:
        """Prepare; nothing is connected yet.

        Args:
            nodes: the Redis; not closed with this.
            circuit: whether Redis is asked.
            clock: monotonic seconds, the circuit's.
            timeout_s: how long a charge waits at most.
        """
        self._nodes = nodes
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
        """Ask nothing any more."""
        if self._trips is not None:
            self._trips.cancel()
            await asyncio.gather(self._trips, return_exceptions=True)

    async def _travel(self) -> None:
        """Make round trips until nobody waits."""
        while self._waiting:
            trip, self._waiting = self._waiting, []
            verdicts: Sequence[Verdict | None] = [None] * len(trip)
            began = self._clock()
            try:
                async with asyncio.timeout(self._timeout_s):
                    verdicts = self._judge(began, await self._ask([charge for charge, _ in trip]))
            except (RedisError, OSError) as error:
                self._circuit.failed(began, Failure.of(error))
            finally:
                for (_, answer), verdict in zip(trip, verdicts, strict=True):
                    if not answer.done():
                        answer.set_result(verdict)

    def _judge(self, began: float, replies: Sequence[Any]) -> list[Verdict | None]:
        """Read the replies, tell the circuit; None where a node of a cluster did not reply, or Redis refused."""
        errors = [reply for reply in replies if isinstance(reply, RedisError | OSError)]
        verdicts = [None if isinstance(reply, RedisError | OSError) else _verdict(reply) for reply in replies]
        tried = [error for error in errors if not isinstance(error, NodeAwayError)]
        if len(errors) < len(replies):
            self._circuit.succeeded(began)
        elif tried:
            self._circuit.failed(began, Failure.of(tried[0]))
        return verdicts

    async def _ask(self, charges: Sequence[Charge]) -> list[Any]:
        replies = await self._call(charges, b"EVALSHA", _SHA)
        # Redis has forgotten it, or is another one: the script travels along once.
        unknown = [number for number, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._call([charges[number] for number in unknown], b"EVAL", _SCRIPT)
            for number, reply in zip(unknown, again, strict=True):
                replies[number] = reply
        return replies

    async def _call(self, charges: Sequence[Charge], name: bytes, script: bytes) -> list[Any]:
        commands = [_command(charge, name, script) for charge in charges]
        return await self._nodes.pipeline(commands, limit_s=self._timeout_s * _SHARE)


def _command(charge: Charge, name: bytes, script: bytes) -> Command:
    quota = charge.quota
    numbers = (charge.need, charge.more, quota.rate, quota.room, quota.per_day)
    key = f"{NAMESPACE}{charge.key_id}".encode()
    return Command(key, pack(name, script, b"1", key, *(b"%.6f" % number for number in numbers)))


def _verdict(reply: object) -> Verdict:
    match reply:
        case [bytes(granted), bytes(wait), (b"" | b"burst" | b"daily") as policy, bytes(left)]:
            name = {b"burst": RATE, b"daily": DAILY}.get(policy, "")
            return Verdict(float(granted), float(wait), name, float(left))
    msg = "the reply to a charge is no verdict"
    raise InvalidResponse(msg)
