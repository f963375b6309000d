"""One timer ends every wait that takes too long, and no other."""

import asyncio
import time

import pytest

from mlapi.api.body_deadline import Expiry


async def test_what_is_there_is_returned() -> None:
    async def ready() -> str:
        return "value"

    assert await Expiry(60.0, time.monotonic).wait(ready()) == "value"


async def test_what_does_not_come_is_given_up_without_hurting_the_task() -> None:
    expiry = Expiry(0.02, time.monotonic)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await expiry.wait(asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_only_the_late_ones_are_ended() -> None:
    expiry = Expiry(0.05, time.monotonic)
    arrives = asyncio.Event()
    late = asyncio.create_task(expiry.wait(asyncio.Event().wait()))
    asyncio.get_running_loop().call_later(0.01, arrives.set)
    assert await expiry.wait(arrives.wait())
    with pytest.raises(TimeoutError):
        await late


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    task = asyncio.create_task(Expiry(60.0, time.monotonic).wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_passes_through() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Expiry(60.0, time.monotonic).wait(broken())
