"""A batcher before an engine whose speed a test sets, on a clock that jumps from one event to the next."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher, Scored
from mlapi.batching.buckets import padded_length
from mlapi.batching.run_gate import RunGate
from mlapi.errors import MlapiError
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.predictions import EncodedText
from tests.unit.batching.fakes import MAX_TOKENS, Clock, scores, text

_TURNS = 4


@dataclass
class Sent:
    """One request, and what became of it: when it was answered in full, or with what it failed, and when."""

    number: int
    lengths: Sequence[int]
    sent_at: float
    deadline: float
    error: MlapiError | None = None
    done_at: float | None = None
    failed_at: float | None = None
    at_the_door: bool = False

    @property
    def tokens(self) -> int:
        return sum(padded_length(length, MAX_TOKENS) for length in self.lengths)

    @property
    def admitted(self) -> bool:
        return not self.at_the_door

    @property
    def in_time(self) -> bool:
        return self.done_at is not None and self.done_at <= self.deadline

    @property
    def took_s(self) -> float:
        assert self.done_at is not None
        return self.done_at - self.sent_at


@dataclass
class Simulation:
    """Requests, an engine of `speed` padded tokens a second in `streams` equal parts, and the batcher between them.

    A run takes `overhead_s` beside its tokens. The batcher assumes `assumed` tokens a second at the start. With a model
    `beside`, both share clock, events and processors: either moves the time of both.
    """

    speed: float
    assumed: float
    streams: int = 1
    budget: int = 64
    max_waiting_tokens: int = 1_000_000
    overhead_s: float = 0.0
    beside: "Simulation | None" = None
    clock: Clock = field(default_factory=Clock)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.gate = RunGate(self.streams)
        if self.beside is not None:
            self.clock, self.events, self.order = self.beside.clock, self.beside.events, self.beside.order
            self.gate = self.beside.gate
        self.metrics = Metrics()
        of_model = ModelMetrics(self.metrics, "project")
        self.admission = Admission(
            max_waiting_tokens=self.max_waiting_tokens,
            rate=self.assumed,
            clock=self.clock,
            metrics=of_model,
            streams=self.streams,
        )
        self.batcher = Batcher(
            self._run,
            admission=self.admission,
            bucket=partial(padded_length, max_tokens=MAX_TOKENS),
            max_batch_tokens=self.budget,
            streams=self.streams,
            clock=self.clock,
            metrics=of_model,
            gate=self.gate,
        )

    def send(self, lengths: Sequence[int], within_s: float) -> Sent:
        """Send a request of texts of so many tokens."""
        sent = Sent(len(self.sent), lengths, self.clock.now, self.clock.now + within_s)
        self.sent.append(sent)
        try:
            futures = self.batcher.submit([text(length, sent.number) for length in lengths], deadline=sent.deadline)
        except MlapiError as error:
            sent.error, sent.at_the_door = error, True
            return sent
        left = len(futures)

        def answered(future: asyncio.Future[Scored]) -> None:
            nonlocal left
            left -= 1
            error = future.exception()
            if isinstance(error, MlapiError):
                sent.error, sent.failed_at = error, self.clock.now
            elif not left and sent.error is None:
                sent.done_at = self.clock.now

        for future in futures:
            future.add_done_callback(answered)
        return sent

    async def until(self, moment: float) -> None:
        """Let everything happen up to a moment, which then is the present."""
        await self._turns()
        while self.events and self.events[0][0] <= moment:
            self.clock.now, _, happen = heapq.heappop(self.events)
            happen()
            await self._turns()
        self.clock.now = max(self.clock.now, moment)

    async def rest(self) -> None:
        """Let everything happen that is under way."""
        await self._turns()
        while self.events:
            await self.until(self.events[0][0])

    async def _run(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seconds = padded * len(texts) / (self.speed / self.streams) + self.overhead_s
        end: Callable[[], None] = partial(done.set_result, None)
        heapq.heappush(self.events, (self.clock.now + seconds, next(self.order), end))
        await done
        return [scores(one) for one in texts]

    async def _turns(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_TURNS):
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn
