"""A head with a Content-Length is written together with the first part of its body; a chunked one at once."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Receive, Scope, Send

from tests.stores import until
from tests.unit.server.http_wire import DATE, App, Connection, post

HEAD = b"HTTP/1.1 200 OK\r\ndate: " + DATE + b"\r\n"
SIZED = HEAD + b"content-length: 6\r\n\r\n"
ASKED = post(b"hello", path=b"/long")


class Parts:
    """Sends an answer's head, and each part of its body when it is told to; fails at the end if so asked."""

    def __init__(self, *parts: bytes, length: int | None = None, failure: Exception | None = None) -> None:
        self.turn = asyncio.Semaphore(0)
        self._parts = parts
        self._headers = [] if length is None else [(b"content-length", b"%d" % length)]
        self._failure = failure

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        for left, part in zip(range(len(self._parts), 0, -1), self._parts, strict=True):
            await self.turn.acquire()
            await send({"type": "http.response.body", "body": part, "more_body": left > 1})
        if self._failure:
            raise self._failure


@pytest.mark.parametrize(
    ("parts", "writes"),
    [
        ((b"answer",), [SIZED + b"answer"]),
        ((b"ans", b"wer"), [SIZED + b"ans", b"wer"]),
        ((b"", b"answer"), [SIZED, b"answer"]),
    ],
)
async def test_a_head_goes_with_the_beginning_of_its_body(parts: Sequence[bytes], writes: Sequence[bytes]) -> None:
    serve = Parts(*parts, length=6)
    connection = Connection(App(), serve=serve)
    for _ in parts:
        serve.turn.release()
    await connection.exchange(ASKED)
    assert connection.wire.writes == writes
    # The next answer on the connection is as whole.
    for _ in parts:
        serve.turn.release()
    await connection.exchange(ASKED, answers=2)
    assert connection.wire.writes == [*writes, *writes]


async def test_the_head_of_a_stream_does_not_wait_for_its_first_part() -> None:
    serve = Parts(b"line", b"")
    connection = Connection(App(), serve=serve)
    connection.protocol.data_received(ASKED)
    await until(lambda: bool(connection.wire.sent))
    assert connection.wire.sent == HEAD + b"transfer-encoding: chunked\r\n\r\n"
    for _ in range(2):
        serve.turn.release()
    assert (await connection.exchange()).endswith(b"\r\n\r\n4\r\nline\r\n0\r\n\r\n")


async def test_an_answer_may_have_no_headers() -> None:
    """ASGI lets an application leave them out."""

    async def serve(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    sent = await Connection(App(), serve=serve).exchange(ASKED)
    assert sent == b"HTTP/1.1 204 No Content\r\ndate: " + DATE + b"\r\n\r\n"


async def test_the_answer_to_head_is_its_head() -> None:
    serve = Parts(b"answer", length=6)
    serve.turn.release()
    asked = b"HEAD /long HTTP/1.1\r\nHost: test\r\n\r\n"
    assert await Connection(App(), serve=serve).exchange(asked) == SIZED


async def test_an_answer_that_breaks_off_in_front_of_its_body_closes_the_connection() -> None:
    connection = Connection(App(), serve=Parts(length=6, failure=ValueError("broken")))
    assert await connection.exchange(ASKED) == b""
    assert connection.wire.closed


async def test_who_has_gone_before_the_head_is_sent_nothing() -> None:
    serve = Parts(b"answer", length=6)
    connection = Connection(App(), serve=serve)
    connection.protocol.pause_writing()
    connection.protocol.data_received(ASKED)
    serve.turn.release()
    await asyncio.sleep(0)
    connection.protocol.connection_lost(None)
    await until(lambda: not connection.server.tasks)
    assert connection.wire.sent == b""


async def test_who_asks_whether_to_send_a_body_is_told_before_the_answer() -> None:
    serve = Parts(b"answer", length=6)
    connection = Connection(App(), serve=serve)
    connection.protocol.data_received(post(b"hello", b"Expect: 100-continue", path=b"/long")[:-5])
    await until(lambda: bool(connection.wire.sent))
    assert connection.wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    serve.turn.release()
    await connection.exchange(b"hello")
    assert connection.wire.writes[1:] == [SIZED + b"answer"]
