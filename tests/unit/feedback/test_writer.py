"""Votes reach the store together, their callers hear what became of them, and a store that hangs holds nobody up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn, cast

import pytest
from prometheus_client import CollectorRegistry

from mlapi.errors import FeedbackUnavailableError
from mlapi.feedback import writer as module
from mlapi.feedback.base import Store, StoreError
from mlapi.feedback.votes import Status, Vote
from mlapi.feedback.writer import FeedbackWriter
from mlapi.observability.metrics import FeedbackMetrics
from tests.feedback_votes import vote
from tests.service_process import eventually


class ScriptedStore:
    """Remembers what it was told; waits where it is told to."""

    def __init__(self) -> None:
        self.transactions: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.failure: Exception | None = None
        self.closed = False
        self.purges = 0

    def record(self, votes: Sequence[Vote]) -> list[Status]:
        self.begun.set()
        self.gate.wait(10)
        if self.failure:
            raise self.failure
        self.transactions.append(len(votes))
        return [Status.CREATED if item.subject == "alice" else Status.REPLACED for item in votes]

    def purge(self, now: int) -> int:
        self.purges += 1
        return now * 0

    def check(self) -> None:
        if self.failure:
            raise self.failure

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def running(store: ScriptedStore, clock: Callable[[], float] = lambda: 0.0) -> AsyncIterator[FeedbackWriter]:
    writer = FeedbackWriter(cast("Store", store), FeedbackMetrics(CollectorRegistry()), clock=clock)
    writer.start()
    try:
        yield writer
    finally:
        store.gate.set()
        await writer.close()


async def test_each_caller_hears_what_became_of_its_own_votes() -> None:
    store = ScriptedStore()
    async with running(store) as writer:
        store.gate.clear()
        first = asyncio.create_task(writer.record([vote()]))
        await asyncio.to_thread(store.begun.wait, 5)
        others = [
            asyncio.create_task(writer.record([vote(subject="bob"), vote(subject="alice")])),
            asyncio.create_task(writer.record([vote(subject="carol")])),
        ]
        await asyncio.sleep(0)
        store.gate.set()
        assert await first == [Status.CREATED]
        assert await asyncio.gather(*others) == [[Status.REPLACED, Status.CREATED], [Status.REPLACED]]
    # What waited while the first was written went into one transaction.
    assert store.transactions == [1, 3]
    assert store.closed


async def test_a_failure_is_told_to_all_who_wait_and_the_next_votes_are_tried() -> None:
    store = ScriptedStore()
    async with running(store) as writer:
        store.failure = StoreError("gone")
        with pytest.raises(FeedbackUnavailableError) as raised:
            await writer.record([vote()])
        assert raised.value.retry_after_s == 5
        store.failure = ValueError("a fault of our own")
        with pytest.raises(FeedbackUnavailableError):
            await writer.record([vote()])
        store.failure = None
        assert await writer.record([vote()]) == [Status.CREATED]


async def test_a_store_that_hangs_costs_the_first_callers_seconds_and_the_next_ones_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.05)
    now = 0.0
    store = ScriptedStore()
    async with running(store, lambda: now) as writer:
        store.gate.clear()
        with pytest.raises(FeedbackUnavailableError, match="did not answer in time"):
            await writer.record([vote()])
        now = 1.0
        with pytest.raises(FeedbackUnavailableError, match="does not answer"):
            await writer.record([vote(subject="bob")])
        store.gate.set()
        await asyncio.to_thread(eventually, lambda: writer._busy_since is None, "the store is free")
        assert await writer.record([vote(subject="bob")]) == [Status.REPLACED]


async def test_nobody_waits_in_a_queue_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING", 3)
    store = ScriptedStore()
    async with running(store) as writer:
        store.gate.clear()
        waiting = asyncio.create_task(writer.record([vote()] * 3))
        await asyncio.sleep(0)
        with pytest.raises(FeedbackUnavailableError, match="more opinions are waiting"):
            await writer.record([vote()])
        store.gate.set()
        assert len(await waiting) == 3
        assert await writer.record([vote()]) == [Status.CREATED]


async def test_votes_whose_caller_gave_up_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ScriptedStore()
    async with running(store) as writer:
        store.gate.clear()
        first = asyncio.create_task(writer.record([vote()]))
        await asyncio.to_thread(store.begun.wait, 5)
        monkeypatch.setattr(module, "_ANSWER_S", 0.01)
        with pytest.raises(FeedbackUnavailableError):
            await writer.record([vote(subject="bob"), vote(subject="carol")])
        store.gate.set()
        assert await first == [Status.CREATED]
    assert store.transactions == [1]


async def test_what_waits_when_the_process_stops_is_written() -> None:
    store = ScriptedStore()
    async with running(store) as writer:
        tasks = [asyncio.create_task(writer.record([vote()])) for _ in range(20)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [[Status.CREATED]] * 20


async def test_the_gauge_tells_of_a_store_that_is_gone_without_any_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_S", 0.01)
    store = ScriptedStore()
    registry = CollectorRegistry()
    writer = FeedbackWriter(cast("Store", store), FeedbackMetrics(registry), clock=lambda: 0.0)
    writer.start()

    def becomes(value: float) -> None:
        eventually(lambda: registry.get_sample_value("mlapi_feedback_store_up") == value, f"the gauge is {value}")

    await asyncio.to_thread(becomes, 1.0)
    store.failure = StoreError("gone")
    await asyncio.to_thread(becomes, 0.0)
    store.failure = None
    await asyncio.to_thread(becomes, 1.0)
    await writer.close()


def test_a_loop_that_is_closed_is_no_failure_of_the_thread() -> None:
    """The store took longer for its answer than the process had to stop."""
    store = ScriptedStore()
    writer = FeedbackWriter(cast("Store", store), FeedbackMetrics(CollectorRegistry()))

    async def leave() -> NoReturn:
        writer.start()
        store.gate.clear()
        task = asyncio.create_task(writer.record([vote()]))
        await asyncio.to_thread(store.begun.wait, 5)
        task.cancel()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(leave())
    store.gate.set()
    asyncio.run(writer.close())
    assert store.closed


async def test_what_is_over_is_erased_each_hour_without_a_pause_between_votes() -> None:
    now = 0.0
    store = ScriptedStore()
    async with running(store, lambda: now) as writer:
        await writer.record([vote()])
        assert store.purges == 1
        for hour in range(1, 4):
            now = hour * 3600.0
            await writer.record([vote()])
            # The thread looks after the store before it takes the next one.
            await writer.record([vote()])
            assert store.purges == 1 + hour


async def test_who_is_told_may_ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is held where it has just told the caller: it counts as busy no more, however late it is."""
    now = 0.0
    asked_again = threading.Event()
    end = module._Waiting.end

    def end_and_wait(waiting: module._Waiting, outcome: list[Status] | Exception) -> None:
        end(waiting, outcome)
        asked_again.wait(10)

    monkeypatch.setattr(module._Waiting, "end", end_and_wait)
    async with running(ScriptedStore(), lambda: now) as writer:
        assert await writer.record([vote()]) == [Status.CREATED]
        now = 3600.0
        again = asyncio.create_task(writer.record([vote()]))
        await asyncio.sleep(0)
        asked_again.set()
        assert await again == [Status.CREATED]
