"""A body is read within bounds of size, time and memory."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest
from backports import zstd
from starlette.types import Message, Receive

from mlapi.api.body import BodyReader, ClientGoneError
from mlapi.api.body_deadline import Expiry
from mlapi.api.content_coding import PIECE_BYTES, ContentDecoder, find_decoder
from mlapi.errors import (
    BodyTimeoutError,
    ContentEncodingError,
    MalformedJsonError,
    OverloadedError,
    PayloadTooLargeError,
)


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


ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
}


def decoder(coding: bytes) -> ContentDecoder:
    found = find_decoder([coding])
    assert found is not None
    return found


@pytest.mark.parametrize("coding", ENCODERS)
async def test_an_encoded_body_is_decoded_within_the_bound(coding: bytes) -> None:
    limit = 1_000_000
    within = ENCODERS[coding](bytes(limit))
    bound = reader(max_bytes=limit, held=limit)
    assert await bound.read(chunks(within[:7], within[7:]), b"", decoder(coding)) == bytes(limit)
    bomb = ENCODERS[coding](bytes(20 * limit))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLargeError, match="1000000 bytes"):
            await bound.read(chunks(bomb), b"", decoder(coding))
        # What is held grows by less than a half each time, and two pieces are on the way.
        assert tracemalloc.get_traced_memory()[1] < 1.5 * limit + 4 * PIECE_BYTES
    finally:
        tracemalloc.stop()


async def test_an_encoded_body_is_bounded_as_it_was_sent_too() -> None:
    empty_members = gzip.compress(b"") * 3
    with pytest.raises(PayloadTooLargeError):
        await reader(max_bytes=50).read(chunks(empty_members[:30], empty_members[30:]), b"", decoder(b"gzip"))


@pytest.mark.parametrize("coding", ENCODERS)
async def test_others_have_their_turn_while_a_large_body_is_decoded(coding: bytes) -> None:
    size = 20_000_000
    bound = reader(max_bytes=size, held=size)
    decoding = asyncio.create_task(bound.read(chunks(ENCODERS[coding](bytes(size))), b"", decoder(coding)))
    turns = 0
    while not decoding.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(await decoding) == size
    assert turns >= size / (5 * PIECE_BYTES)


async def test_decoded_bodies_count_among_all_that_are_held_and_are_given_back() -> None:
    held = reader(max_bytes=1_000_000, held=1_500_000)
    body = gzip.compress(bytes(900_000))
    first: Message = {"type": "http.request", "body": body, "more_body": True}
    waiting = asyncio.create_task(held.read(replay([first]), b"", decoder(b"gzip")))
    for _ in range(20):
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await held.read(chunks(body), b"", decoder(b"gzip"))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await held.read(chunks(body), b"", decoder(b"gzip")) == bytes(900_000)
    with pytest.raises(ContentEncodingError):
        await held.read(chunks(body[:-1]), b"", decoder(b"gzip"))
    assert await held.read(chunks(body), b"", decoder(b"gzip")) == bytes(900_000)
