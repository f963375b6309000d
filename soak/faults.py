"""What is done to the service and to its Redis while it serves, each with the proof that it took effect."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from redis import Redis

from soak.fleet import Fleet
from soak.ledger import Ledger
from soak.relay import Relay
from soak.traffic import Keyholder
from soak.wire import Caller, get
from tests.e2e.api_keys import KeysFile, bearer
from tools.private_redis import PrivateRedis

_LOOK_S: Final = 0.25
_PATIENCE_S: Final = 90.0
_LASTS_S: Final = 4.0
_SLOW_S: Final = 0.4


class NoEffectError(Exception):
    """A fault was not seen to take effect, or not to pass."""


class Faults:
    """Injects one fault after the other.

    Attributes:
        events: when each began, seconds of the clock, and its name.
        redis_hurt_s: for how long Redis was not as it should be, altogether.
        done: whether the last has passed, and nothing more needs traffic to be seen.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        redis: PrivateRedis,
        way_to_redis: Relay,
        keys: KeysFile,
        keyholder: Keyholder,
        ledger: Ledger,
    ) -> None:
        self._fleet = fleet
        self._redis = redis
        self._way = way_to_redis
        self._keys = keys
        self._keyholder = keyholder
        self._ledger = ledger
        self.events: list[tuple[float, str]] = []
        self.redis_hurt_s = 0.0
        self.done = False
        self.all: dict[str, Callable[[], Awaitable[str]]] = {
            "Redis killed and restarted": self._kill_redis,
            "a process replaced": fleet.replace,
            "Redis frozen": self._freeze_redis,
            "a key rotated": self._rotate_key,
            "Redis full": self._fill_redis,
            "Redis restarted, empty": self._restart_redis,
            "Redis slow": self._slow_redis,
            "a broken keys file": self._break_keys,
            "connections to Redis cut": self._cut_redis,
        }

    async def run(self, gap_s: float, over: Callable[[], bool]) -> None:
        """Inject all of them in turn, with a pause before each, until it is over; the last one is seen to its end."""
        while not over():
            for name, inject in self.all.items():
                await asyncio.sleep(gap_s)
                if over():
                    self.done = True
                    return
                self.events.append((time.monotonic(), name))
                try:
                    await inject()
                except NoEffectError as error:
                    self._ledger.fail("a fault without effect", f"{name}: {error}")
                    self._heal()
                else:
                    self._ledger.faults[name] += 1
        self.done = True

    def _heal(self) -> None:
        self._way.delay_s = 0.0
        self._redis.resume()
        if not self._redis.running:
            self._redis.restart()
        with Redis.from_url(self._redis.url) as client:
            client.config_set("maxmemory", "64mb")
            client.config_set("maxmemory-policy", "allkeys-lfu")

    async def _kill_redis(self) -> str:
        return await self._hurts(self._redis.kill, "get", "error", "skipped")

    async def _restart_redis(self) -> str:
        before = self._run_id()
        await asyncio.to_thread(self._redis.restart)
        if self._run_id() == before:
            msg = "it is the same process"
            raise NoEffectError(msg)
        return await self._passes()

    def _run_id(self) -> str:
        with Redis.from_url(self._redis.url) as client:
            return str(cast("dict[str, str]", client.info("server"))["run_id"])

    async def _freeze_redis(self) -> str:
        return await self._hurts(self._redis.pause, "get", "timeout")

    async def _slow_redis(self) -> str:
        def slow() -> None:
            self._way.delay_s = _SLOW_S

        return await self._hurts(slow, "get", "timeout")

    async def _fill_redis(self) -> str:
        def fill() -> None:
            with Redis.from_url(self._redis.url) as client:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "1")

        return await self._hurts(fill, "set", "error", "withheld")

    async def _cut_redis(self) -> str:
        cut = self._way.cut()
        if not cut:
            msg = "there were no connections"
            raise NoEffectError(msg)
        return await self._passes()

    async def _hurts(self, inject: Callable[[], None], operation: str, *results: str) -> str:
        """Inject a fault, wait until the service's own metrics tell of it, heal Redis, and wait for hits from it."""
        began = time.monotonic()

        async def told() -> float:
            return sum([await self._operations(operation, result) for result in results])

        rise = await _rise(told, f"{operation}: {' or '.join(results)}", inject)
        await asyncio.sleep(_LASTS_S)
        await asyncio.to_thread(self._heal)
        passed = await self._passes()
        self.redis_hurt_s += time.monotonic() - began
        return f"{rise:g} look-ups or stores failed; {passed}"

    async def _passes(self) -> str:
        async def hits() -> float:
            return await self._fleet.metric("mlapi_texts_total", source="l2")

        return f"{await _rise(hits, 'hits from Redis again'):g} hits"

    async def _operations(self, operation: str, result: str) -> float:
        return await self._fleet.metric("mlapi_cache_operations_total", tier="l2", operation=operation, result=result)

    async def _rotate_key(self) -> str:
        """Give the steady callers' key a second secret, hand that out, and take the first away."""
        old = self._keyholder.key
        new = self._keys.rotate(old)
        for port in (self._fleet.elder.port, self._fleet.other.port):
            await self._until_status(port, bearer(new), 200)
        self._keyholder.key = new
        # Requests under way with the first secret have time to arrive.
        await asyncio.sleep(_LASTS_S)
        self._keys.retire(new)
        for port in (self._fleet.elder.port, self._fleet.other.port):
            await self._until_status(port, bearer(old), 401)
        return "the first secret is refused"

    async def _break_keys(self) -> str:
        """Put a file that cannot be used in the place of the keys, and take it back."""
        good = self._keys.path.read_bytes()
        stale = self._fleet.elder.metric

        async def is_stale(value: float) -> None:
            give_up_at = time.monotonic() + _PATIENCE_S
            while await asyncio.to_thread(stale, "mlapi_keys_file_stale") != value:
                if time.monotonic() > give_up_at:
                    msg = f"mlapi_keys_file_stale did not become {value:g}"
                    raise NoEffectError(msg)
                await asyncio.sleep(_LOOK_S)

        self._keys.path.write_bytes(good[:-10])
        try:
            await is_stale(1)
            await asyncio.sleep(_LASTS_S)
        finally:
            self._keys.path.write_bytes(good)
        await is_stale(0)
        return "the keys stayed as they were"

    async def _until_status(self, port: int, headers: dict[str, str], status: int) -> None:
        caller = Caller(port, _PATIENCE_S)
        give_up_at = time.monotonic() + _PATIENCE_S
        try:
            while (await caller.ask(get("/project/model", headers))).status != status:
                if time.monotonic() > give_up_at:
                    msg = f"no {status} from port {port}"
                    raise NoEffectError(msg)
                await asyncio.sleep(_LOOK_S)
        finally:
            caller.close()


async def _rise(look: Callable[[], Awaitable[float]], what: str, after: Callable[[], None] = lambda: None) -> float:
    """Do something, wait until a figure rises, and return by how much.

    Raises:
        NoEffectError: it does not.
    """
    before = await look()
    after()
    give_up_at = time.monotonic() + _PATIENCE_S
    while (now := await look()) <= before:
        if time.monotonic() > give_up_at:
            msg = f"not seen: {what}"
            raise NoEffectError(msg)
        await asyncio.sleep(_LOOK_S)
    return now - before
