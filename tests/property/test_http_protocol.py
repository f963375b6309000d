"""However requests are cut and strung together, a connection sends what uvicorn's own protocol would."""

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlapi.server.requests import Caller
from tests.stores import until
from tests.unit.server.http_wire import App, Connection, post

BODIES = st.sampled_from((b"a", b"b", b"\r\n\r\n", b"hello", b"x" * 300, post(b"within")))
LINES = st.sampled_from(((), (b"X-Request-Id: a",), (b"Connection: keep-alive",), (b"X-Wish: any",)))
PLAIN = st.builds(lambda body, lines: post(body, *lines), BODIES, LINES)
OTHER = st.sampled_from(
    (
        post(b"", b"X-Request-Id: a"),
        post(b"long", path=b"/long"),
        post(b"query", path=b"/short?a=b"),
        post(b"put", method=b"PUT"),
        post(b"wait", b"Expect: 100-continue"),
        b"GET /short HTTP/1.1\r\nHost: test\r\n\r\n",
        b"\r\n" + post(b"after a line"),
        b"POST /short HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST /short HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: b\r\n\r\n",
    )
)
REQUESTS = st.lists(st.one_of(PLAIN, PLAIN, PLAIN, OTHER), min_size=1, max_size=12)
LAST = st.sampled_from((b"", post(b"bye", b"Connection: close"), post(b"old", version=b"1.0")))


class Same(App):
    """Answers the same by the short way as by the usual one."""

    def answer(self, caller: Caller, body: bytes, peer: str) -> bytes:  # noqa: ARG002  the interface
        self.short.append((caller.given_id, body))
        content = b"POST " + body
        return b"content-length: %d\r\n\r\n%b" % (len(content), content)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut bytes at some places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places) if end > start]


async def exchange(app: App, data: Sequence[bytes], count: int, *, reference: bool = False) -> bytes:
    """Send pieces, in one turn of the loop each, and return what comes back."""
    connection = Connection(app, reference=reference)
    for piece in data:
        if connection.wire.closed or connection.wire.ended:
            break
        connection.protocol.data_received(piece)
        await asyncio.sleep(0)
    await until(lambda: connection.server.total_requests >= count or connection.wire.closed or connection.wire.ended)
    connection.protocol.connection_lost(None)
    # Whether the caller is told to go on depends on whether the body is there when the application asks for it.
    return re.sub(rb"HTTP/1\.1 100 Continue\r\n\r\n", b"", connection.wire.sent)


@given(requests=REQUESTS, last=LAST, cuts=st.lists(st.integers(0, 10_000), max_size=4), whole=st.booleans())
def test_what_is_sent_is_what_uvicorn_would_send(
    requests: list[bytes],
    last: bytes,
    cuts: list[int],
    whole: bool,  # noqa: FBT001  drawn
) -> None:
    stream = [*requests, last] if last else requests
    # Each request in one piece, as they come from nearly all callers, or cut anywhere.
    data = stream if whole else pieces(b"".join(stream), cuts)
    count = len(requests) + (last.startswith(b"POST"))

    async def run() -> tuple[bytes, bytes, bytes]:
        app = Same()
        return (
            await exchange(Same(), data, count, reference=True),
            await exchange(app, data, count),
            await exchange(app, data, count),
        )

    reference, first, again = asyncio.run(run())
    assert first == reference
    assert again == reference


WITHIN = b"GET /within HTTP/1.1\r\nHost: test\r\n\r\n"
CHUNKED = b"POST /long HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
UNUSUAL = st.sampled_from(
    (
        post(WITHIN, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
        post(WITHIN, b"Connection: Upgrade", b"Upgrade: websocket", path=b"/long"),
        CHUNKED + UPGRADE + b"\r\n%x\r\n" % len(WITHIN) + WITHIN + b"\r\n0\r\n\r\n",
        CHUNKED + b"\r\n1;a=b\r\na\r\n0;c\r\nX-Trailer: b\r\n\r\n",
        b"GET /long HTTP/1.1\r\nHost: test\r\n" + UPGRADE + b"\r\n",
    )
)
FAULTY = st.sampled_from(
    (
        b"",
        CHUNKED + b"\r\n1\r\nabc" + WITHIN,
        CHUNKED + b"Content-Length: 5\r\n\r\nhello" + WITHIN,
        post(b"hello", b"Content-Length: 4") + WITHIN,
        b"CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n" + WITHIN,
        b"GET /\x00 HTTP/1.1\r\n\r\n" + WITHIN,
        b"\x16\x03\x01" + WITHIN,
    )
)


@given(
    requests=st.lists(st.one_of(PLAIN, UNUSUAL, OTHER), max_size=8),
    last=FAULTY,
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
)
def test_one_request_has_one_answer_wherever_its_bytes_are_cut(
    requests: list[bytes], last: bytes, cuts: list[int]
) -> None:
    stream = b"".join(requests) + last

    async def run() -> tuple[bytes, bytes]:
        count = len(requests) + bool(last)
        return await exchange(Same(), pieces(stream, cuts), count), await exchange(Same(), [stream], count)

    # What a refusal says of the fault depends on how much of it has been seen; it is the last answer, and has an id.
    cut, whole = (re.sub(rb"(?s)(HTTP/1\.1 4\d\d ).*", rb"\1", sent) for sent in asyncio.run(run()))
    assert cut == whole
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", cut)) == len(requests) + bool(last)
