"""What is accepted as a body in chunks, llhttp reads as the same body with the same end, or refuses."""

from contextlib import suppress

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from mlapi.errors import InvalidHttpError
from mlapi.server.bodies import ChunkedBody

HEAD = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n"
PIECES = st.sampled_from(
    (*(b"1\r\na\r\n", b"0\r\n", b"\r\n", b"5\r\nhello\r\n", b"a;b=c\r\n0123456789\r\n", b"A: b\r\n", b"\n", b"\r"),)
)
CHUNKS = st.builds(
    lambda contents, end: b"".join(b"%x\r\n%b\r\n" % (len(item), item) for item in contents if item) + end,
    st.lists(st.binary(max_size=40), max_size=6),
    st.sampled_from((b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nA: b\r\n\r\n")),
)


class Seen:
    """What llhttp tells."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.urls: list[bytes] = []
        self.complete = 0

    def on_message_begin(self) -> None:
        self.bodies.append(b"")
        self.urls.append(b"")

    def on_url(self, url: bytes) -> None:
        self.urls[-1] += url

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.complete += 1


@given(CHUNKS)
def test_every_body_in_chunks_is_read(data: bytes) -> None:
    body, seen = ChunkedBody(), Seen()
    content, end = body.take(data + NEXT, 0)
    httptools.HttpRequestParser(seen).feed_data(HEAD + data + NEXT)
    assert (body.complete, (data + NEXT)[end:]) == (True, NEXT)
    assert (seen.bodies, seen.urls) == ([content, b""], [b"/", b"/next"])


@given(st.one_of(st.lists(PIECES, max_size=8).map(b"".join), st.binary(max_size=30)), st.integers(0, 60))
@example(b"0\r\n\r\n", 3)
def test_whatever_is_accepted_is_read_by_another_reader_in_the_same_way_or_not_at_all(data: bytes, cut: int) -> None:
    data += b"0\r\n\r\n" + NEXT
    body, content, end = ChunkedBody(), b"", 0
    try:
        for piece in (data[:cut], data):
            if not body.complete:
                part, end = body.take(piece, end)
                content += part
    except InvalidHttpError:
        return
    if not body.complete:
        return
    seen = Seen()
    with suppress(httptools.HttpParserError):
        httptools.HttpRequestParser(seen).feed_data(HEAD + data)
    if seen.complete:
        assert seen.bodies[0] == content
    if seen.complete > 1 and data[end:] == NEXT:
        assert seen.urls == [b"/", b"/next"]
