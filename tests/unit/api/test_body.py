"""A body is read within bounds of size, time and memory."""

import asyncio
import time
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive

from mlapi.api.body import BodyReader, ClientGoneError
from mlapi.api.expiry import Expiry
from mlapi.errors import BodyTimeoutError, MalformedJsonError, OverloadedError, PayloadTooLargeError


def chunks(*parts: bytes, gone: bool = False) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if gone:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    return replay(messages)


def replay(messages: Iterable[Message]) -> Receive:
    waiting = iter(messages)

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    return receive


def reader(max_bytes: int = 10, held: int = 100, allowed_s: float = 60.0) -> BodyReader:
    return BodyReader(max_bytes, held, Expiry(allowed_s, time.monotonic))


async def test_chunks_are_joined() -> None:
    assert await reader().read(chunks(b"ab", b"", b"cd"), b"") == b"abcd"
    assert await reader().read(chunks(b"abcd"), b"4") == b"abcd"


async def test_an_announced_size_is_refused_unread() -> None:
    with pytest.raises(PayloadTooLargeError, match="10 bytes"):
        await reader().read(replay([]), b"11")


async def test_an_unannounced_size_is_refused_on_the_way() -> None:
    with pytest.raises(PayloadTooLargeError):
        await reader().read(chunks(b"aaaaaa", b"bbbbbb", b"never read"), b"")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"abc", b"\xb2"])
async def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        await reader().read(chunks(b"a"), length)


async def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    with pytest.raises(BodyTimeoutError):
        await reader(allowed_s=0.02).read(replay([{"type": "http.request", "body": b"a", "more_body": True}]), b"")


async def test_a_caller_that_leaves_midway_is_noticed() -> None:
    with pytest.raises(ClientGoneError):
        await reader().read(chunks(b"a", gone=True), b"")


async def test_all_bodies_together_are_bounded_and_given_back() -> None:
    held = reader(max_bytes=10, held=15)
    first: Message = {"type": "http.request", "body": b"a" * 8, "more_body": True}
    waiting = asyncio.create_task(held.read(replay([first]), b""))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await held.read(chunks(b"b" * 8, b"b"), b"")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await held.read(chunks(b"b" * 8, b"b"), b"") == b"b" * 8 + b"b"
