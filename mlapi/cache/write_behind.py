"""Stores what is put into it soon, in batches, by a task of its own; refuses what it cannot hold.

Knows nothing about the server: `write` does the writing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Final

_MAX_PENDING: Final = 8192
_MAX_BATCH: Final = 128


class WriteBehind:
    """A bounded buffer of records and, while it holds any, the task that empties it."""

    def __init__(
        self,
        write: Callable[[Mapping[bytes, bytes]], Awaitable[None]],
        *,
        max_pending: int = _MAX_PENDING,
        max_batch: int = _MAX_BATCH,
    ) -> None:
        """Start empty, without a task.

        Args:
            write: writes one batch in bounded time, and deals with its own failures.
            max_pending: how many records wait at most.
            max_batch: how many records one call of `write` takes at most.
        """
        self._write = write
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._pending: dict[bytes, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, records: Mapping[bytes, bytes]) -> set[bytes]:
        """Accept as many records as there is room for, and return the digests of the others.

        A digest that is waiting already takes no room: its record is replaced.
        """
        refused: set[bytes] = set()
        for digest, record in records.items():
            if len(self._pending) < self._max_pending or digest in self._pending:
                self._pending[digest] = record
            else:
                refused.add(digest)
        if self._pending and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._empty())
        return refused

    async def flush(self) -> None:
        """Wait until nothing is pending."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def close(self, timeout_s: float) -> set[bytes]:
        """Flush for at most `timeout_s` seconds, stop, and return the digests of the records that were given up."""
        if self._task is not None:
            task = self._task
            await asyncio.wait({task}, timeout=timeout_s)
            task.cancel()
            await asyncio.wait({task})
        given_up = set(self._pending)
        self._pending.clear()
        return given_up

    async def _empty(self) -> None:
        try:
            while self._pending:
                batch = dict(islice(self._pending.items(), self._max_batch))
                for digest in batch:
                    del self._pending[digest]
                await self._write(batch)
        except asyncio.CancelledError:
            self._pending = batch | self._pending
            raise
        finally:
            self._task = None
