"""One computation per key, however many callers want its result at the same time.

After groupcache's singleflight (Go), for asyncio and for many keys in one call. Knows nothing of caches and models::

    with flights.claim(digests, store=True) as claim:
        if claim.led:
            create_task(resolve(claim.led))             # a task of its own: it outlives this caller if others follow
        predictions = await claim.results(timeout_s)    # in the order of `digests`

`resolve` computes, and ends every flight it was given with `land` or `crash`. It can drop a flight whose `future` is
cancelled: nobody waits for it any more.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

T = TypeVar("T")

_NONE: Final[frozenset[bytes]] = frozenset()


class Flight(Generic[T]):
    """The computation of one key's result.

    Attributes:
        key: what is computed.
        store: whether any of those who wait, or did, wants the result stored.
        future: the result. It is shared: add callbacks or look at it, but never await it bare, because a caller that is
            cancelled while it does so cancels it for all; `Claim.results` does not.
    """

    __slots__ = ("_on_end", "future", "key", "store", "waiters")

    def __init__(self, key: bytes, future: asyncio.Future[T], on_end: Callable[["Flight[T]"], None]) -> None:
        """Start with nobody waiting; `on_end` is called once, when the flight has ended in any way."""
        self.key = key
        self.store = False
        self.future = future
        self.waiters = 0
        self._on_end = on_end

    def land(self, result: T) -> None:
        """Give everyone the result; without effect on a flight that has ended."""
        if not self.future.done():
            self.future.set_result(result)
            self._on_end(self)

    def crash(self, error: Exception) -> None:
        """Give everyone the error; without effect on a flight that has ended."""
        if not self.future.done():
            # The frames that it was raised in know the flights, and with them the error: a cycle.
            self.future.set_exception(error.with_traceback(None))
            # Marks the error as seen: if everyone leaves before they look, that is not worth a warning.
            self.future.exception()
            self._on_end(self)

    def leave(self) -> None:
        """Stop waiting. When the last one leaves a flight that has not ended, it is cancelled and forgotten."""
        self.waiters -= 1
        if self.waiters == 0 and not self.future.done():
            self.future.cancel()
            self._on_end(self)


class Claim(Generic[T]):
    """One caller's share in the flights of its keys; leaving the `with` block gives it up.

    Attributes:
        flights: one for each key, in the order claimed; a key that was claimed twice has the same flight twice.
        leads: for each of them, whether this caller started it, and so has to see to it that it ends.
    """

    __slots__ = ("flights", "leads")

    def __init__(self, flights: Sequence[Flight[T]], leads: Sequence[bool]) -> None:
        self.flights = flights
        self.leads = leads

    @property
    def led(self) -> list[Flight[T]]:
        """The flights that this caller started, each once."""
        return [flight for flight, leads in zip(self.flights, self.leads, strict=True) if leads]

    async def results(self, timeout_s: float | None) -> list[T]:
        """Wait for all flights and return their results, in the order claimed.

        Raises:
            TimeoutError: some had not ended after `timeout_s` seconds.
            Exception: what a flight crashed with, as soon as one does.
        """
        futures = [flight.future for flight in self.flights]
        pending = {future for future in futures if not future.done()}
        if pending and _first_error(futures) is None:
            _, pending = await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
        error = _first_error(futures)
        if error is not None:
            # It may have been raised for others, whose frames are none of this caller's business.
            raise error.with_traceback(None)
        if pending:
            raise TimeoutError
        return [future.result() for future in futures]

    def release(self) -> None:
        """Leave all flights."""
        for flight in self.flights:
            flight.leave()
        self.flights, self.leads = (), ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class SingleFlight(Generic[T]):
    """The flights under way; for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def under_way(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Return those of these keys whose flights are."""
        flights = self._flights
        return frozenset(key for key in keys if key in flights) if flights else _NONE

    def claim(self, keys: Sequence[bytes], *, store: bool) -> Claim[T]:
        """Join the flights of these keys, starting those that are not under way.

        The result of a flight is to be stored as soon as one of its callers says so with `store`.
        """
        loop = asyncio.get_running_loop()
        flights: list[Flight[T]] = []
        leads: list[bool] = []
        for key in keys:
            flight = self._flights.get(key)
            leads.append(flight is None)
            if flight is None:
                flight = self._flights[key] = Flight(key, loop.create_future(), self._forget)
            flight.store |= store
            flight.waiters += 1
            flights.append(flight)
        return Claim(flights, leads)

    def _forget(self, flight: Flight[T]) -> None:
        del self._flights[flight.key]


def _first_error(futures: Sequence[asyncio.Future[T]]) -> BaseException | None:
    return next((error for future in futures if future.done() and (error := future.exception())), None)
