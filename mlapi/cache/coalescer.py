"""Look-ups of many callers as few round trips: whatever arrives in one turn of the event loop travels together.

The idea is the DataLoader's (github.com/graphql/dataloader): callers append to what is waiting, and a callback that the
event loop runs after all of them sends it. Knows nothing about the server: `ask` does the asking.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from mlapi.predictions import Prediction

Answers: TypeAlias = Mapping[bytes, Prediction]
Deliver: TypeAlias = Callable[[list[Prediction | None]], None]
"""Takes what was found, in the order asked for."""

MAX_IN_FLIGHT: Final = 2
_MAX_KEYS: Final = 512
_LAST_CALL: Final = 0.9


class Trip:
    """Digests that travel together, and everyone who waits for the answer.

    Attributes:
        began: when the first caller joined, by the clock of the coalescer.
        digests: what to ask for, each once, and how many texts it stands for.
        settled: whether the callers have their answer. One that comes later is of no use.
    """

    __slots__ = ("_callers", "began", "digests", "settled", "timer")

    def __init__(self, began: float) -> None:
        self.began = began
        self.digests: dict[bytes, int] = {}
        self.settled = False
        self.timer: asyncio.TimerHandle | None = None
        self._callers: list[tuple[Sequence[bytes], Deliver]] = []

    def join(self, digests: Sequence[bytes], deliver: Deliver) -> None:
        """Add one caller, who gets the answer."""
        asked = self.digests
        for digest in digests:
            asked[digest] = asked.get(digest, 0) + 1
        self._callers.append((digests, deliver))

    def settle(self, answers: Answers) -> None:
        """Answer everyone, once."""
        if self.settled:
            return
        self.settled = True
        if self.timer is not None:
            self.timer.cancel()
        for digests, deliver in self._callers:
            try:
                deliver(list(map(answers.get, digests)))
            except Exception as error:  # noqa: BLE001  one caller's failure must not cost the others their answer
                context = {"message": "a caller failed with its answer", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


class Coalescer:
    """Sends trips, at most `max_in_flight` at a time, and lets no caller wait longer than `timeout_s`.

    A trip that takes longer is answered with nothing and left to `ask`, which must end in bounded time: a connection is
    only safe to use again once its reply has been read, or it has been closed.
    """

    def __init__(
        self,
        ask: Callable[[Trip], Awaitable[Answers]],
        on_expired: Callable[[Trip], None],
        *,
        clock: Callable[[], float],
        timeout_s: float,
        max_keys: int = _MAX_KEYS,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """Prepare; nothing runs before the first call.

        Args:
            ask: one round trip.
            on_expired: told of each trip whose callers left without an answer, whether it had been sent or not.
            clock: monotonic time in seconds.
            timeout_s: how long a caller waits at most, in seconds.
            max_keys: how many digests one trip takes; the rest take the next.
            max_in_flight: how many trips are under way at most; while they are, the next one fills up.
        """
        self._ask = ask
        self._on_expired = on_expired
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_keys = max_keys
        self._max_in_flight = max_in_flight
        self._waiting: deque[Trip] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._departure: asyncio.Handle | None = None

    def request(self, digests: Sequence[bytes], deliver: Deliver) -> None:
        """Ask for at least one digest; call back when it was answered or the time is up, never before this returns."""
        trip = self._waiting[-1] if self._waiting else self._boarding()
        if len(trip.digests) + len(digests) <= self._max_keys:
            trip.join(digests, deliver)
            return
        parts: list[list[Prediction | None]] = []
        unsettled = 0

        def settled(number: int, found: list[Prediction | None]) -> None:
            nonlocal unsettled
            parts[number] = found
            unsettled -= 1
            if not unsettled:
                deliver([prediction for part in parts for prediction in part])

        start = 0
        while start < len(digests):
            trip = self._boarding()
            part = digests[start : start + self._max_keys - len(trip.digests)]
            trip.join(part, partial(settled, len(parts)))
            parts.append([])
            unsettled += 1
            start += len(part)

    async def close(self) -> None:
        """Answer everyone with nothing, and stop."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        while self._waiting:
            self._waiting.popleft().settle({})
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _boarding(self) -> Trip:
        if self._waiting and len(self._waiting[-1].digests) < self._max_keys:
            return self._waiting[-1]
        loop = asyncio.get_running_loop()
        trip = Trip(self._clock())
        trip.timer = loop.call_later(self._timeout_s * _LAST_CALL, self._last_call, trip)
        self._waiting.append(trip)
        if self._departure is None:
            self._departure = loop.call_soon(self._depart)
        return trip

    def _depart(self) -> None:
        self._departure = None
        while self._waiting and len(self._under_way) < self._max_in_flight:
            task = asyncio.get_running_loop().create_task(self._travel(self._waiting.popleft()))
            self._under_way.add(task)
            task.add_done_callback(self._arrived)

    async def _travel(self, trip: Trip) -> None:
        answers: Answers = {}
        try:
            answers = await self._ask(trip)
        finally:
            trip.settle(answers)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and self._departure is None:
            self._depart()

    def _last_call(self, trip: Trip) -> None:
        # Timers of a loop that was busy elsewhere fire before the replies that came meanwhile are read. The rest of the
        # budget runs from now, with a turn of the loop in between: our own delay must not look like the server's.
        loop = asyncio.get_running_loop()
        trip.timer = loop.call_later(self._timeout_s * (1 - _LAST_CALL), self._expire, trip)

    def _expire(self, trip: Trip) -> None:
        if trip in self._waiting:
            self._waiting.remove(trip)
        trip.settle({})
        self._on_expired(trip)
