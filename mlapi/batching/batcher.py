"""Turns texts that wait into batches of equal padded length and keeps the engine's streams busy with them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from mlapi.batching.admission import Admission
from mlapi.batching.fair_queue import FairQueue, Request
from mlapi.batching.run_gate import RunGate
from mlapi.errors import DeadlineExceededError, DrainingError, EngineError, MlapiError
from mlapi.observability.metrics import ModelMetrics
from mlapi.predictions import EncodedText

_log = logging.getLogger(__name__)

_MANY: Final = 1_000
"""Texts that leave behind some mebibytes of freed memory in pieces, which a C library keeps by itself."""

Run: TypeAlias = Callable[[Sequence[EncodedText], int], Awaitable[list[tuple[float, ...]]]]
"""Scores texts that share a padded length, off the event loop; one tuple of scores a text, in order."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The model's answer to one text.

    Attributes:
        scores: what `run` answered for this text.
        queue_s: seconds from `submit` to the start of the run that scored it.
        model_s: seconds that this run took, for all of its batch.
    """

    scores: tuple[float, ...]
    queue_s: float
    model_s: float


@dataclass(slots=True, eq=False)
class _Job:
    """One text on its way: what to score, whom to tell, and the request that it came with."""

    text: EncodedText
    padded: int
    future: asyncio.Future[Scored]
    request: Request["_Job"]
    submitted: float


class Batcher:
    """Queues texts and scores them in batches; lives on one event loop.

    There is no waiting window: an idle stream takes what is there in the next turn of the loop, and batches form while
    the streams are busy. A batch holds texts of one padded length only, so that a text's scores cannot depend on its
    neighbours, and at most `max_batch_tokens` padded tokens, or a single text.
    """

    def __init__(
        self,
        run: Run,
        *,
        admission: Admission,
        bucket: Callable[[int], int],
        max_batch_tokens: int,
        streams: int,
        clock: Callable[[], float],
        metrics: ModelMetrics,
        gate: RunGate | None = None,
        slot_s: float = 0.1,
        split_tokens: int | None = None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Start idle; needs no running loop yet.

        Args:
            run: scores a batch.
            admission: guards the queue; not shared with another batcher.
            bucket: padded length of a text of so many tokens.
            max_batch_tokens: the most padded tokens in a batch of several texts.
            streams: how many runs may be in flight.
            clock: tells seconds, the same ones as the deadlines.
            metrics: where batches, waits and costs are counted.
            gate: shares the processors with other models' batchers; None: there are no others.
            slot_s: seconds by which deadlines differ at least where the order of work depends on them; a hundredth of
                what requests usually have is fine enough.
            split_tokens: padded tokens up to which a batch is not divided among idle streams; None: it never is.
            settle: called when nothing is left to do after a thousand texts or more, whatever became of them.
        """
        self._run = run
        self._admission = admission
        self._bucket = bucket
        self._streams = streams
        self._clock = clock
        self._metrics = metrics
        self._real_tokens = metrics.batch_tokens("real")
        self._padded_tokens = metrics.batch_tokens("padded")
        self._queue: FairQueue[_Job] = FairQueue(max_batch_tokens, slot_s, split_tokens)
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = gate or RunGate(streams)
        self._lane = self._gate.lane()
        self._settle = settle
        self._active = 0
        self._texts = 0
        self._closing = False

    def submit(self, texts: Sequence[EncodedText], *, deadline: float) -> list[asyncio.Future[Scored]]:
        """Queue a request's texts, all or none; one future a text, in order.

        Cancel a future to withdraw its text: until its batch begins, it then costs nothing. A future fails with
        `EngineError` when the model fails on its text, with `DeadlineExceededError` when the deadline passes before its
        batch begins, with `OverloadedError` when the model turns out too slow to do the rest of the request in time,
        and with `DrainingError` when `close` gives up on it. A failure that nobody looks at is not reported.

        Raises:
            DrainingError: the batcher is closing.
            BatchTooLargeError: the texts alone exceed the bound on waiting tokens.
            OverloadedError: the texts cannot be scored by the deadline, or too much is waiting.
            DeadlineExceededError: the deadline has passed.
            ValueError: a text has no tokens, or more than the model reads.
        """
        if self._closing:
            raise _draining()
        if not texts:
            return []
        self._texts += len(texts)
        loop = asyncio.get_running_loop()
        now = self._clock()
        request: Request[_Job] = Request(deadline, self._admission.due(deadline))
        jobs = [_Job(text, self._bucket(len(text.ids)), loop.create_future(), request, now) for text in texts]
        for place, job in enumerate(jobs):
            request.add(job, job.padded, place)
        try:
            self._admission.admit(request, self._queue, texts=len(texts), wait_s=self._gate.wait_s(self._lane))
        except MlapiError:
            self._rest()
            raise
        for job in jobs:
            job.future.add_done_callback(partial(self._withdraw, job))
        self._queue.add(request)
        self._wake_stream()
        return [job.future for job in jobs]

    async def close(self, timeout_s: float) -> None:
        """Take no more texts, finish those that are queued, and after `timeout_s` fail what is left."""
        self._closing = True
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            for job in self._queue.clear():
                self._admission.withdrawn(job.padded)
                _fail(job, _draining())
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _withdraw(self, job: _Job, _: asyncio.Future[Scored]) -> None:
        """Forget a text whose future was cancelled while it was queued."""
        if self._queue.discard(job.request, job.padded, job):
            self._admission.withdrawn(job.padded)

    def _wake_stream(self) -> None:
        """Set one more stream to work if one is idle; it will itself wake the next one if there is work left."""
        if self._active == self._streams or not self._queue:
            return
        self._active += 1
        task = asyncio.get_running_loop().create_task(self._work(), name="batcher stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Score one batch after the other, as one of the streams, until nothing waits."""
        first = True
        try:
            while self._queue:
                asked = self._clock()
                await self._gate.enter(self._lane)
                # The wait for the first turn is as long for one token as for many: no rate, but a later start.
                await self._have_turn(0.0 if first else self._clock() - asked)
                first = False
        finally:
            self._active -= 1
            self._rest()

    async def _have_turn(self, waited_s: float) -> None:
        """Score batches until the turn is another model's; for the first one, the stream `waited_s`."""
        try:
            while batch := self._next_batch():
                began = self._clock()
                self._wake_stream()
                await self._score(batch, waited_s)
                waited_s = 0.0
                if not self._gate.keeps(self._lane, self._clock() - began):
                    return
        finally:
            self._gate.leave(self._lane)

    def _rest(self) -> None:
        """If nothing is left to do after much, say so."""
        if self._settle and self._texts >= _MANY and not (self._active or self._queue):
            self._texts = 0
            self._settle()

    def _next_batch(self) -> list[_Job]:
        """Take a batch out of the queue; empty when nothing waits."""
        while self._queue:
            now = self._clock()
            taken = self._queue.take(now, self._admission.pace, idle=self._streams - self._active + 1)
            for job in taken.expired:
                self._admission.withdrawn(job.padded)
                _fail(job, _expired())
            for jobs in taken.given_up:
                refusal = self._admission.given_up(sum(job.padded for job in jobs), jobs[0].request.deadline)
                for job in jobs:
                    _fail(job, refusal)
            batch = [job for job in taken.batch if not job.future.cancelled()]
            self._admission.withdrawn(taken.padded * (len(taken.batch) - len(batch)))
            if batch:
                self._admission.started(taken.padded * len(batch))
                for job in batch:
                    self._metrics.queue_wait.observe(now - job.submitted)
                return batch
        return []

    async def _score(self, batch: list[_Job], waited_s: float) -> None:
        """See a batch through: when this returns, each of its futures is done.

        The time that its stream `waited_s` for other models counts for the rate at which work drains.
        """
        seconds: float | None = None
        try:
            seconds = await self._answer(batch)
        except asyncio.CancelledError:
            for job in batch:
                _fail(job, _draining())
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # `close` gave up waiting. Otherwise only the run was cancelled, and others may still wait.
        finally:
            self._admission.finished(batch[0].padded * len(batch), None if seconds is None else seconds + waited_s)

    async def _answer(self, batch: list[_Job]) -> float | None:
        """Score a batch; if that fails, each of its texts alone, once: a text that breaks the model breaks no other.

        Returns:
            The seconds that it took; `None` if the batch as a whole failed.
        """
        try:
            return await self._attempt(batch)
        except Exception as error:  # noqa: BLE001  an engine may raise anything
            if len(batch) == 1:
                failure = EngineError("the model could not score this text")
                failure.__cause__ = error
                _fail(batch[0], failure)
                return None
            _log.warning("a batch failed, its texts are scored one by one", exc_info=True, extra={"texts": len(batch)})
        for job in batch:
            if job.future.done():
                continue
            if job.request.deadline <= self._clock():
                _fail(job, _expired())
            else:
                await self._answer([job])
        return None

    async def _attempt(self, batch: list[_Job]) -> float:
        """Run a batch once and answer its texts; returns the seconds that the run took."""
        padded = batch[0].padded
        self._metrics.batch_texts.observe(len(batch))
        self._real_tokens.observe(sum(len(job.text.ids) for job in batch))
        self._padded_tokens.observe(padded * len(batch))
        started = self._clock()
        try:
            scores = await self._run([job.text for job in batch], padded)
        finally:
            seconds = self._clock() - started
            self._metrics.inference_duration.observe(seconds)
            self._metrics.inference_seconds.inc(seconds)
        if len(scores) != len(batch):
            msg = f"{len(scores)} results for {len(batch)} texts"
            raise EngineError(msg)
        for job, result in zip(batch, scores, strict=True):
            if not job.future.done():
                job.future.set_result(Scored(result, started - job.submitted, seconds))
        return seconds


def _fail(job: _Job, error: MlapiError) -> None:
    if not job.future.done():
        job.future.set_exception(error)
        job.future.exception()  # Looked at, so that asyncio does not complain when the caller has gone.


def _draining() -> DrainingError:
    return DrainingError("this instance is shutting down")


def _expired() -> DeadlineExceededError:
    return DeadlineExceededError("the deadline passed before the text was scored")
