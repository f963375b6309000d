"""A model whose runs end when the test says so, a clock that stands still, and the batcher between them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher, Run
from mlapi.batching.buckets import padded_length
from mlapi.batching.run_gate import RunGate
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.predictions import EncodedText

MAX_TOKENS = 512


class Clock:
    """Time that passes only when a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def text(tokens: int, tag: int = 0) -> EncodedText:
    """Return a text of so many tokens that can be told from others by its tag."""
    return EncodedText((tag, *range(tokens - 1)), truncated=False)


def scores(one: EncodedText) -> tuple[float, ...]:
    """Return what the model answers for a text: its tag and its length."""
    return (float(one.ids[0]), float(len(one.ids)))


@dataclass
class Call:
    """One run in flight."""

    texts: Sequence[EncodedText]
    padded: int
    answer: asyncio.Future[list[tuple[float, ...]]]

    @property
    def tags(self) -> list[int]:
        return [one.ids[0] for one in self.texts]

    def finish(self) -> None:
        self.answer.set_result([scores(one) for one in self.texts])


class HeldModel:
    """A `run` that records its calls and answers each when told."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._changed = asyncio.Event()

    async def __call__(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        call = Call(texts, padded, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        self._changed.set()
        return await call.answer

    async def call(self, number: int) -> Call:
        """Wait until that many calls have been made before this one, and return it."""
        while len(self.calls) <= number:
            self._changed.clear()
            await self._changed.wait()
        return self.calls[number]


async def settle() -> None:
    """Let everything run that can run by itself."""
    loop = asyncio.get_running_loop()
    for _ in range(10):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


@dataclass
class Bench:
    """A batcher with everything around it; `model` stands behind it unless there is another `run`."""

    streams: int = 1
    max_batch_tokens: int = 64
    max_waiting_tokens: int = 1_000_000
    rate: float = 1e6
    run: Run | None = None
    gate: RunGate | None = None
    clock: Clock = field(default_factory=Clock)
    metrics: Metrics = field(default_factory=Metrics)
    model: HeldModel = field(default_factory=HeldModel)
    rests: int = 0

    def __post_init__(self) -> None:
        of_model = ModelMetrics(self.metrics, "project")
        self.admission = Admission(
            max_waiting_tokens=self.max_waiting_tokens, rate=self.rate, clock=self.clock, metrics=of_model
        )
        self.batcher = Batcher(
            self.run or self.model,
            admission=self.admission,
            bucket=partial(padded_length, max_tokens=MAX_TOKENS),
            max_batch_tokens=self.max_batch_tokens,
            streams=self.streams,
            clock=self.clock,
            metrics=of_model,
            gate=self.gate,
            settle=self._rest,
        )

    def _rest(self) -> None:
        self.rests += 1

    @property
    def later(self) -> float:
        """A deadline that nothing here comes near."""
        return self.clock.now + 100.0

    def sample(self, name: str, **labels: str) -> float | None:
        """Return a metric as Prometheus would read it."""
        return self.metrics.registry.get_sample_value(name, {"model": "project"} | labels)
