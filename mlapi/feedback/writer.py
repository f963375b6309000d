"""Takes votes from the event loop to the store: in a thread, all that wait in one transaction."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from mlapi.errors import FeedbackUnavailableError
from mlapi.feedback.base import Store, StoreError
from mlapi.feedback.votes import Status, Vote
from mlapi.observability.metrics import FeedbackMetrics

_log = logging.getLogger(__name__)

_MAX_WAITING: Final = 2000
"""Votes that may wait; at 200 a second, ten seconds' worth."""

_MAX_TOGETHER: Final = 256
"""Votes in one transaction: all of them wait for the last."""

_ANSWER_S: Final = 5.0
_CHECK_S: Final = 5.0
"""How often the store is asked whether it is there, when there is nothing else to ask."""

_PURGE_S: Final = 3600.0
_RETRY_S: Final = 5


@dataclass(slots=True)
class _Waiting:
    """The votes of one request, and who waits for what becomes of them."""

    votes: Sequence[Vote]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[list[Status]]" = field(init=False)
    given_up: bool = False

    def __post_init__(self) -> None:
        self.done = self.loop.create_future()

    def end(self, outcome: list[Status] | Exception) -> None:
        """Tell the waiting request, from the thread."""

        def tell() -> None:
            if self.done.done():
                return
            if isinstance(outcome, Exception):
                self.done.set_exception(outcome)
            else:
                self.done.set_result(outcome)

        # The loop is closed where the store took longer for its answer than the process had to stop.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(tell)


class FeedbackWriter:
    """Writes votes. A vote is in the store when `record` returns; when it raises, the caller should send it again."""

    def __init__(self, store: Store, metrics: FeedbackMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the store, which is used by the writer's thread alone from now on.

        Args:
            store: is closed with the writer.
            metrics: says whether the store works, and how fast.
            clock: tells seconds; thread-safe.
        """
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._waiting = 0
        self._busy_since: float | None = None
        self._purged_at: float | None = None
        self._failing = False
        self._thread = Thread(target=self._work, name="feedback", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    async def record(self, votes: Sequence[Vote]) -> list[Status]:
        """Write the votes of one request, all or none, and return what each did.

        Raises:
            FeedbackUnavailableError: the store did not take them, or has not said so in time.
        """
        busy_since = self._busy_since
        if self._waiting + len(votes) > _MAX_WAITING:
            msg = "more opinions are waiting to be written than can be in time"
            raise _unavailable(msg)
        if busy_since is not None and self._clock() - busy_since > _ANSWER_S:
            msg = "the store of opinions does not answer"
            raise _unavailable(msg)
        waiting = _Waiting(votes, asyncio.get_running_loop())
        self._count(len(votes))
        self._queue.put(waiting)
        try:
            return await asyncio.wait_for(waiting.done, _ANSWER_S)
        except TimeoutError:
            msg = "the store of opinions did not answer in time"
            raise _unavailable(msg) from None
        finally:
            waiting.given_up = True
            self._count(-len(votes))

    async def close(self) -> None:
        """Write what waits, and end; not later than the store may take for an answer."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, _ANSWER_S)

    def _count(self, votes: int) -> None:
        self._waiting += votes
        self._metrics.waiting.set(self._waiting)

    def _work(self) -> None:
        """Serve the queue until it says that this is the end."""
        going_on = True
        try:
            self._look_after()
            while going_on:
                try:
                    batch, going_on = self._take()
                except Empty:
                    self._look_after()
                    continue
                if batch:
                    self._write(batch)
                # Votes that come without a pause must not keep what is over; a store that fails is not asked twice.
                if going_on and not self._failing and self._is_to_purge():
                    self._look_after()
        finally:
            self._store.close()

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for a request, and take all those with it that fit into one transaction.

        Raises:
            Empty: there was none for a while.
        """
        batch: list[_Waiting] = []
        count = 0
        item = self._queue.get(timeout=_CHECK_S)
        while item is not None:
            if not item.given_up:
                batch.append(item)
                count += len(item.votes)
            if count >= _MAX_TOGETHER:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _write(self, batch: Sequence[_Waiting]) -> None:
        started = self._busy_since = self._clock()
        outcome: list[Status] | Exception
        try:
            outcome = self._store.record([vote for waiting in batch for vote in waiting.votes])
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must hear of it
            outcome = error
        # Before the callers are told: one that calls `record` again in the next turn of the loop must not find the
        # store busy with the transaction that has just ended.
        self._busy_since = None
        self._metrics.commit_duration.observe(self._clock() - started)
        if isinstance(outcome, Exception):
            self._note_failure(outcome)
            for waiting in batch:
                waiting.end(_unavailable("the store of opinions cannot be written to now"))
            return
        self._note_success()
        statuses = iter(outcome)
        for waiting in batch:
            waiting.end([next(statuses) for _ in waiting.votes])

    def _is_to_purge(self) -> bool:
        return self._purged_at is None or self._clock() - self._purged_at >= _PURGE_S

    def _look_after(self) -> None:
        """Make sure that the store is there; once an hour, erase what is over."""
        self._busy_since = self._clock()
        try:
            if self._is_to_purge():
                self._store.purge(time.time_ns() // 1_000_000)
                self._purged_at = self._clock()
            else:
                self._store.check()
        except Exception as error:  # noqa: BLE001  the thread goes on, whatever it is
            self._note_failure(error)
        else:
            self._note_success()
        finally:
            self._busy_since = None

    def _note_failure(self, error: Exception) -> None:
        self._metrics.store_up.set(0)
        if not isinstance(error, StoreError):
            _log.error("the store of opinions failed", exc_info=error)
        elif not self._failing:
            _log.warning("opinions are refused for now: %s", error)
        self._failing = True

    def _note_success(self) -> None:
        self._metrics.store_up.set(1)
        if self._failing:
            _log.info("opinions are taken again")
        self._failing = False


def _unavailable(detail: str) -> FeedbackUnavailableError:
    return FeedbackUnavailableError(detail, retry_after_s=_RETRY_S)
