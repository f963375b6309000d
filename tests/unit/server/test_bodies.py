"""A body ends where its framing says, and its framing is bounded."""

import gc
import weakref

import pytest

from mlapi.errors import InvalidHttpError
from mlapi.server.bodies import ChunkedBody, SizedBody


def test_a_body_with_a_length_takes_no_more() -> None:
    body = SizedBody(5)
    assert body.take(b"POSThel", 4) == (b"hel", 7)
    assert not body.complete
    assert body.take(b"loGET", 0) == (b"lo", 2)
    assert body.complete
    assert SizedBody(0).complete


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000])
def test_a_body_in_chunks_may_come_in_any_pieces(step: int) -> None:
    data = (
        b"5\r\nhello\r\n00a;name=value\r\n, world: \r\r\n1\r\n\n\r\n0;last\r\nX-Trailer: a\r\nY:\r\n\r\nGET / HTTP/1.1"
    )
    body, content, at = ChunkedBody(), b"", 0
    while not body.complete:
        part, end = body.take(data[: at + step], at)
        content += part
        at = end
    assert (content, data[at:]) == (b"hello, world: \r\n", b"GET / HTTP/1.1")


FAULTS = {
    "no size": b"\r\n",
    "no number": b"zz\r\n",
    "a negative size": b"-5\r\n",
    "an underscore": b"1_0\r\n",
    "a prefix": b"0x5\r\n",
    "a space in front": b" 5\r\n",
    "a space behind": b"5 \r\n",
    "a bare line feed": b"5\n",
    "two carriage returns": b"5\r\r\n",
    "a size beyond 60 bits": b"1" + b"0" * 15 + b"\r\n",
    "a control character in an extension": b"5;a\x00\r\n",
    "more than its size": b"1\r\nab\r\n",
    "a bare line feed behind": b"1\r\na\n",
    "a trailer without a colon": b"0\r\nabc\r\n",
    "a folded trailer": b"0\r\nA: b\r\n c\r\n",
    "a trailer's bare line feed": b"0\r\nA: b\n\r\n",
    "a line without end": b"5;" + b"a" * 5_000,
    "a size without end": b"0" * 5_000,
    "a trailer without end": b"0\r\nA: " + b"b" * 5_000,
    "extensions without end": b"1;%b\r\na\r\n" % (b"a" * 1_000) * 20,
    "trailers without end": b"0\r\n" + b"A: b\r\n" * 4_000,
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("step", [1, 64, 100_000])
def test_what_is_not_in_chunks_is_refused(data: bytes, step: int) -> None:
    body, at = ChunkedBody(), 0

    def read() -> None:
        nonlocal at
        while at < len(data):
            _, at = body.take(data[: at + step], at)

    with pytest.raises(InvalidHttpError):
        read()


def test_many_small_chunks_are_served() -> None:
    data = b"1;a=b\r\na\r\n" * 50_000 + b"0\r\n\r\n"
    body, content, at, turns = ChunkedBody(), b"", 0, 0
    while not body.complete:
        part, at = body.take(data, at)
        content += part
        turns += 1
    assert (len(content), at) == (50_000, len(data))
    assert turns > 10, "others have their turn in between"


def test_a_body_is_gone_when_nobody_holds_it() -> None:
    class Watched(ChunkedBody):
        """Can be watched."""

    gc.disable()
    try:
        body = Watched()
        body.take(b"1\r\na\r\n", 0)
        watch = weakref.ref(body)
        del body
        assert watch() is None
    finally:
        gc.enable()
