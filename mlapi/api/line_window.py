"""Answers a stream of lines in their order: several batches of them side by side, and no more than a window holds."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Final

from mlapi.api.lines import Answered, Line
from mlapi.errors import MlapiError

_BATCHES: Final = 4
"""Enough to keep the model busy while lines are read and answers are sent."""

_DONE: Final = None


async def answer_in_order(
    batches: AsyncGenerator[Sequence[Line]],
    answer: Callable[[Sequence[Line]], Coroutine[None, None, Answered]],
    send: Callable[[Sequence[bytes]], Awaitable[None]],
) -> MlapiError | None:
    """Answer all batches, and send the answers in the order of the lines.

    No batch is asked for while the window is full: it is when the model is slow, and when nobody takes the answers.

    Args:
        batches: the lines, some at a time.
        answer: answers some of them.
        send: sends some answers, and waits until they can be sent.

    Returns:
        Why not all lines were answered, after all answers that there are were sent; None: all were.

    Raises:
        MlapiError: the batches ended with this; the answers to all that came before it were sent.
        Exception: sending failed, or anything else; what was being answered is given up.
    """
    window: asyncio.Queue[asyncio.Task[Answered] | None] = asyncio.Queue(_BATCHES)
    tasks: set[asyncio.Task[Answered]] = set()

    async def read() -> None:
        try:
            async with aclosing(batches):
                async for batch in batches:
                    task = asyncio.create_task(answer(batch))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    await window.put(task)
        except MlapiError:
            await window.put(_DONE)
            raise
        await window.put(_DONE)

    reading = asyncio.create_task(read())
    writing = asyncio.create_task(_write(window, send))
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        failure = None if writing.done() else reading.exception()
        if failure is not None and not isinstance(failure, MlapiError):
            raise failure  # nobody waits for the answers
        end = await writing
        if end is None:
            await reading
        return end
    finally:
        left = {reading, writing, *tasks}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _write(
    window: "asyncio.Queue[asyncio.Task[Answered] | None]", send: Callable[[Sequence[bytes]], Awaitable[None]]
) -> MlapiError | None:
    """Send what is answered, until all is, or a batch says that there are no more answers."""
    while (task := await window.get()) is not _DONE:
        answered = await task
        if answered.lines:
            await send(answered.lines)
        if answered.end is not None:
            return answered.end
    return None
