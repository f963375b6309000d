"""Whatever is asked, cancelled and broken: every text gets its own answer, and the books balance."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher, Scored
from mlapi.batching.buckets import padded_length
from mlapi.errors import DeadlineExceededError, DrainingError, EngineError, OverloadedError
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.predictions import EncodedText

BUDGETS = st.sampled_from((1, 16, 64, 200, 1024))
FAR = 1e9
MAX_TOKENS = 200
SOUND, BROKEN = 7, 13


@dataclass(frozen=True)
class Submission:
    """One request: the lengths of its texts, which of them break the model, which are cancelled, and when."""

    lengths: list[int]
    broken: set[int]
    cancelled: set[int]
    turns_before: int
    turns_before_cancelling: int
    lifetime_s: float


SUBMISSIONS = st.lists(
    st.builds(
        Submission,
        lengths=st.lists(st.one_of(st.integers(2, 40), st.integers(2, MAX_TOKENS)), min_size=1, max_size=8),
        broken=st.sets(st.integers(0, 7), max_size=1),
        cancelled=st.sets(st.integers(0, 7), max_size=3),
        turns_before=st.integers(0, 3),
        turns_before_cancelling=st.integers(0, 4),
        lifetime_s=st.sampled_from((2.5, 8.5, FAR)),
    ),
    max_size=10,
)


async def turns(number: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(number):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


def scores(text: EncodedText) -> tuple[float, ...]:
    return tuple(float(one) for one in text.ids)


@dataclass
class World:
    """A batcher on a model that checks every batch; each run takes one second and some turns of the loop."""

    budget: int
    streams: int
    now: float = 0.0
    running: int = 0
    seen: list[int] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    deadlines: dict[int, float] = field(default_factory=dict)
    tag: int = 0
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = ModelMetrics(Metrics(), "project")
        self.admission = Admission(max_waiting_tokens=10**6, rate=1e9, clock=lambda: self.now, metrics=self.metrics)
        self.batcher = Batcher(
            self._run,
            admission=self.admission,
            bucket=partial(padded_length, max_tokens=MAX_TOKENS),
            max_batch_tokens=self.budget,
            streams=self.streams,
            clock=lambda: self.now,
            metrics=self.metrics,
        )

    async def _run(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        self.running += 1
        tags = [text.ids[0] for text in texts]
        rules = {
            "more runs than streams": self.running <= self.streams,
            "mixed lengths": {padded_length(len(text.ids), MAX_TOKENS) for text in texts} == {padded},
            "over the budget": len(texts) == 1 or padded * len(texts) <= self.budget,
            "a cancelled text": self.dropped.isdisjoint(tags),
            "a late text": all(self.now < self.deadlines[tag] for tag in tags),
        }
        self.violations += [rule for rule, kept in rules.items() if not kept]
        self.seen += tags
        self.now += 1.0
        await turns(1 + sum(tags) % 3)
        self.running -= 1
        if any(text.ids[1] == BROKEN for text in texts):
            raise RuntimeError
        return [scores(text) for text in texts]

    def submit(self, submission: Submission) -> tuple[list[EncodedText], list[asyncio.Future[Scored]]]:
        """Submit texts that differ in their first token; the second one says whether the model breaks on it."""
        deadline = self.now + submission.lifetime_s
        made = []
        for place, length in enumerate(submission.lengths):
            self.tag += 1
            state = BROKEN if place in submission.broken else SOUND
            made.append(EncodedText((self.tag, state, *range(length - 2)), truncated=False))
            self.deadlines[self.tag] = deadline
        return made, self.batcher.submit(made, deadline=deadline)

    async def play(self, submission: Submission) -> None:
        """Submit, cancel some, and check what becomes of the rest."""
        try:
            texts, futures = self.submit(submission)
        except OverloadedError:
            assert submission.lifetime_s < FAR
            return
        await turns(submission.turns_before_cancelling)
        for place, (text, future) in enumerate(zip(texts, futures, strict=True)):
            if place in submission.cancelled and future.cancel() and text.ids[0] not in self.seen:
                self.dropped.add(text.ids[0])
        results = await asyncio.gather(*futures, return_exceptions=True)
        for text, future, result in zip(texts, futures, results, strict=True):
            self._check(text, future, result, expires=submission.lifetime_s < FAR)

    def _check(
        self, text: EncodedText, future: asyncio.Future[Scored], result: Scored | BaseException, *, expires: bool
    ) -> None:
        if future.cancelled():
            return
        if isinstance(result, DeadlineExceededError):
            assert expires
        elif text.ids[1] == BROKEN:
            assert isinstance(result, EngineError)
        else:
            assert isinstance(result, Scored)
            assert result.scores == scores(text)

    async def close(self, timeout_s: float) -> None:
        """Close the batcher and check that no rule was broken and nothing is left over."""
        await self.batcher.close(timeout_s)
        assert self.violations == []
        assert self.admission.waiting_tokens == 0
        assert not self.batcher._queue
        assert asyncio.all_tasks() == {asyncio.current_task()}


@settings(deadline=None)  # An event loop on a busy machine keeps no time.
@given(SUBMISSIONS, BUDGETS, st.integers(1, 3))
def test_every_text_gets_its_own_answer(submissions: list[Submission], budget: int, streams: int) -> None:
    async def scenario() -> None:
        world = World(budget, streams)
        async with asyncio.TaskGroup() as group:
            for submission in submissions:
                await turns(submission.turns_before)
                group.create_task(world.play(submission))
        assert world.admission.waiting_tokens == 0
        await world.close(timeout_s=60.0)

    asyncio.run(scenario())


@settings(deadline=None)  # An event loop on a busy machine keeps no time.
@given(SUBMISSIONS, BUDGETS, st.integers(1, 3), st.integers(0, 20))
def test_whenever_it_is_closed_every_future_is_answered(
    submissions: list[Submission], budget: int, streams: int, turns_before_closing: int
) -> None:
    async def scenario() -> None:
        world = World(budget, streams)
        asked: list[tuple[EncodedText, asyncio.Future[Scored]]] = []
        for submission in submissions:
            asked += zip(*world.submit(submission), strict=True)
        await turns(turns_before_closing)
        await world.close(timeout_s=0.0)
        for text, future in asked:
            error = future.exception()
            if error is None:
                assert future.result().scores == scores(text)
            elif not isinstance(error, DrainingError | DeadlineExceededError):
                assert isinstance(error, EngineError)
                assert text.ids[1] == BROKEN

    asyncio.run(scenario())
