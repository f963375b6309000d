"""Bounds the time of many waits with one timer, because most of them are over before a timer of their own is set."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

_CHECKS: Final = 8
"""How often a wait is looked at until its time is over: it may last an eighth longer than allowed."""


class Expiry:
    """Ends waits that take too long; for one event loop."""

    def __init__(self, allowed_s: float, clock: Callable[[], float]) -> None:
        """Allow every wait so many seconds; `clock` tells them."""
        self._allowed_s = allowed_s
        self._clock = clock
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Await something; a task may do so once at a time.

        Raises:
            TimeoutError: it took too long, and was cancelled.
            RuntimeError: not called in a task.
        """
        task = asyncio.current_task()
        if task is None:
            msg = "only a task can be made to stop waiting"
            raise RuntimeError(msg)
        self._waiting[task] = self._clock() + self._allowed_s
        if self._timer is None:
            self._schedule()
        try:
            return await awaitable
        except asyncio.CancelledError:
            if task in self._expired and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            del self._waiting[task]
            self._expired.discard(task)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._allowed_s / _CHECKS, self._check)

    def _check(self) -> None:
        """Cancel whoever waits too long; go on looking as long as anyone waits."""
        self._timer = None
        if not self._waiting:
            return
        now = self._clock()
        for task, until in self._waiting.items():
            if until <= now and task not in self._expired:
                self._expired.add(task)
                task.cancel()
        self._schedule()
