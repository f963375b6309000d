"""Batches are answered in their order, a few at a time, and given up when nobody waits for them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from mlapi.api.body import ClientGoneError
from mlapi.api.line_window import answer_in_order
from mlapi.api.lines import Answered, Line
from mlapi.errors import BodyTimeoutError, DrainingError


class Stream:
    """Batches of one line each, answered when the test says so."""

    def __init__(self, count: int, failure: Exception | None = None) -> None:
        self.count = count
        self.failure = failure
        self.begun: list[bytes] = []
        self.sent: list[bytes] = []
        self.cancelled = 0
        self.answers: dict[bytes, asyncio.Future[Answered]] = {}
        self.may_send = asyncio.Event()
        self.may_send.set()

    async def batches(self) -> AsyncGenerator[Sequence[Line]]:
        for number in range(self.count):
            yield [b"%d" % number]
        if self.failure is not None:
            raise self.failure

    async def answer(self, lines: Sequence[Line]) -> Answered:
        (line,) = lines
        assert isinstance(line, bytes)
        self.begun.append(line)
        future = self.answers.setdefault(line, asyncio.get_running_loop().create_future())
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def send(self, lines: Sequence[bytes]) -> None:
        await self.may_send.wait()
        self.sent += lines

    def land(self, *numbers: int, end: DrainingError | None = None) -> None:
        for number in numbers:
            line = b"%d" % number
            self.answers[line].set_result(Answered([] if end else [line], end))

    def start(self) -> "asyncio.Task[object]":
        return asyncio.create_task(answer_in_order(self.batches(), self.answer, self.send))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_answers_are_sent_in_the_order_of_the_lines() -> None:
    stream = Stream(3)
    task = stream.start()
    await settle()
    stream.land(2, 1)
    await settle()
    assert stream.sent == []
    stream.land(0)
    assert await task is None
    assert stream.sent == [b"0", b"1", b"2"]


async def test_no_more_is_begun_than_the_window_holds() -> None:
    stream = Stream(100)
    task = stream.start()
    await settle()
    begun = len(stream.begun)
    assert 1 < begun < 10
    stream.land(0)
    await settle()
    assert len(stream.begun) == begun + 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.cancelled == begun


async def test_nothing_is_begun_while_nobody_takes_the_answers() -> None:
    stream = Stream(100)
    stream.may_send.clear()
    task = stream.start()
    await settle()
    stream.land(0, 1)
    await settle()
    begun = len(stream.begun)
    await settle()
    assert len(stream.begun) == begun < 10
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_ends_the_work() -> None:
    stream = Stream(3, ClientGoneError())
    with pytest.raises(ClientGoneError):
        await stream.start()
    assert stream.cancelled == 3


async def test_what_ends_a_body_is_told_behind_the_answers() -> None:
    stream = Stream(2, BodyTimeoutError("nothing came"))
    task = stream.start()
    await settle()
    stream.land(1, 0)
    with pytest.raises(BodyTimeoutError):
        await task
    assert stream.sent == [b"0", b"1"]


async def test_what_ends_the_answers_ends_the_stream_and_what_was_begun_behind() -> None:
    stream = Stream(100)
    task = stream.start()
    await settle()
    stream.land(0)
    stream.land(1, end=DrainingError("stopping"))
    assert isinstance(await task, DrainingError)
    assert stream.sent == [b"0"]
    assert stream.cancelled > 0


async def test_a_failure_to_send_or_to_answer_is_raised() -> None:
    stream = Stream(3)
    task = stream.start()
    await settle()
    stream.answers[b"0"].set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await task
