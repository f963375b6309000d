"""The short way answers plain requests at once; all others are served as uvicorn's own protocol serves them."""

import asyncio
from collections.abc import Callable

import pytest

from mlapi.api.route import HEAD_START
from mlapi.server import fast_protocol, requests
from tests.stores import until
from tests.unit.server.http_wire import ANSWER, LIMITS, SHORT, App, Connection, Inquiry, post

CHUNKED = b"POST /short HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

NOT_PLAIN = {
    "another path": (post(b"hello", path=b"/long"),),
    "a query string": (post(b"hello", path=b"/short?a=b"),),
    "an escaped path": (post(b"hello", path=b"/%73hort"),),
    "another method": (post(b"hello", method=b"PUT"),),
    "HTTP/1.0": (post(b"hello", version=b"1.0"),),
    "HTTP/1.0 kept alive": (post(b"hello", b"Connection: keep-alive", version=b"1.0"),),
    "a connection to be closed": (post(b"hello", b"Connection: close"),),
    "a wish to continue": (post(b"hello", b"Expect: 100-continue"),),
    "chunks": (CHUNKED,),
    "a wish": (post(b"hello", b"X-Wish: any"),),
    "no body": (b"POST /short HTTP/1.1\r\nHost: test\r\n\r\n",),
    "a large body in pieces": (post(b"a" * 300_000)[:70_000], post(b"a" * 300_000)[70_000:]),
}

IN_PIECES = {
    "a head in pieces": (post(b"hello")[:7], post(b"hello")[7:25], post(b"hello")[25:]),
    "a body that comes after its head": (post(b"hello")[:-5], b"hello"),
    "a body in pieces": (post(b"hello")[:-3], b"l", b"lo"),
    "a body larger than what is read at once": (post(b"a" * 100_000)[:70_000], post(b"a" * 100_000)[70_000:]),
}


async def test_a_plain_request_is_answered_when_its_last_byte_is_read() -> None:
    app = App()
    connection = Connection(app)
    for count in (1, 2):
        connection.protocol.data_received(post(b"hello", b"X-Request-Id: one", b"Connection: keep-alive"))
        assert connection.wire.sent == ANSWER * count
        assert connection.server.total_requests == count
    assert app.short == [(b"one", b"hello")] * 2
    assert not connection.server.tasks


@pytest.mark.parametrize("pieces", IN_PIECES.values(), ids=IN_PIECES.keys())
async def test_a_request_may_come_in_pieces_that_follow_one_another(pieces: tuple[bytes, ...]) -> None:
    app = App()
    connection = Connection(app)
    for piece in pieces:
        assert connection.wire.sent == b""
        connection.protocol.data_received(piece)
    assert connection.wire.sent == ANSWER
    assert app.short == [(b"", b"".join(pieces).partition(b"\r\n\r\n")[2])]
    connection.protocol.data_received(post(b"next"))
    assert connection.wire.sent == ANSWER * 2


async def test_a_body_whose_rest_is_late_is_served_as_uvicorn_does() -> None:
    app, reference = App(), App()
    start, rest = post(b"hello", b"X-Name: value")[:-3], b"llo" + post(b"next", path=b"/long")
    connection = Connection(app)
    connection.protocol.data_received(start)
    await until(lambda: bool(connection.server.tasks))
    served = await connection.exchange(rest, answers=2)
    assert served == await Connection(reference, reference=True).exchange(start, rest, answers=2)
    assert (app.short, app.scopes) == ([], reference.scopes)


@pytest.mark.parametrize("late", [False, True])
async def test_an_idle_connection_keeps_no_body(late: bool) -> None:  # noqa: FBT001
    app = App()
    connection = Connection(app)
    body = b"a" * 100_000
    connection.protocol.data_received(post(body)[:70_000])
    if late:
        await until(lambda: bool(connection.server.tasks))
    await connection.exchange(post(body)[70_000:])
    assert len(app.short) == (not late)
    held = [len(item) for item in vars(connection.protocol).values() if isinstance(item, bytes)]
    assert max(held) < len(body) // 2


async def test_a_stop_waits_for_a_body_that_has_begun() -> None:
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello")[:-3])
    connection.protocol.shutdown()
    assert not connection.wire.closed
    assert (await connection.exchange(b"llo")).endswith(b"connection: close\r\n\r\nPOST hello")


async def test_a_body_that_breaks_off_is_left_to_the_application() -> None:
    scopes = []
    for reference in (False, True):
        app = App()
        connection = Connection(app, reference=reference)
        connection.protocol.data_received(post(b"hello")[:-3])
        connection.protocol.connection_lost(None)
        await until(lambda: bool(app.scopes) and not connection.server.tasks)  # noqa: B023  called at once
        scopes.append(app.scopes)
        assert (connection.wire.sent, app.short) == (b"", [])
    assert scopes[0] == scopes[1]


@pytest.mark.parametrize("pieces", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
async def test_any_other_request_is_served_as_uvicorn_does(pieces: tuple[bytes, ...]) -> None:
    app, reference = App(), App()
    served = await Connection(app).exchange(*pieces)
    assert served == await Connection(reference, reference=True).exchange(*pieces)
    assert app.short == []
    assert app.scopes == reference.scopes


async def test_what_the_fast_path_leaves_is_served_as_uvicorn_does() -> None:
    app, reference = App(None), App()
    request = post(b"hello" * 20_000, b"X-Name: value")
    served = await Connection(app).exchange(request)
    assert served == await Connection(reference, reference=True).exchange(request)
    assert len(app.short) == 1
    assert app.scopes == reference.scopes


async def test_answers_keep_the_order_of_their_requests() -> None:
    app = App()
    connection = Connection(app)
    app.open.clear()
    connection.protocol.data_received(post(b"1") + post(b"2", path=b"/long") + post(b"3") + post(b"4"))
    assert connection.wire.sent == ANSWER
    app.open.set()
    sent = await connection.exchange(answers=4)
    assert [line for line in sent.split(b"\r\n") if line.startswith((b"POST", b"short"))] == [
        *(b"shortHTTP/1.1 200 OK", b"POST 2HTTP/1.1 200 OK", b"shortHTTP/1.1 200 OK", b"short"),
    ]
    connection.protocol.data_received(post(b"5"))
    assert connection.wire.sent == sent + ANSWER


async def test_who_does_not_read_waits() -> None:
    app = App()
    connection = Connection(app)
    connection.protocol.pause_writing()
    connection.protocol.data_received(post(b"hello"))
    assert (connection.wire.sent, app.short) == (b"", [])
    connection.protocol.resume_writing()
    assert (await connection.exchange()).endswith(b"POST hello")


@pytest.mark.parametrize(
    "close", [lambda connection: connection.protocol.shutdown(), lambda connection: connection.wire.close()]
)
async def test_a_connection_at_its_end_is_closed_and_answers_nothing_more(close: Callable[[Connection], None]) -> None:
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello"))
    close(connection)
    assert connection.wire.closed
    connection.protocol.data_received(post(b"too late"))
    assert connection.wire.sent == ANSWER


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    for request in (post(b"hello"), post(b"hello", path=b"/long")):
        connection = Connection(App())
        # However long the exchange takes, the connection is idle from some moment between these two.
        before = connection.protocol._loop.time()
        await connection.exchange(request)
        after = connection.protocol._loop.time()
        connection.protocol.sweep(before + LIMITS.keep_alive_s)
        assert not connection.wire.closed
        connection.protocol.sweep(after + LIMITS.keep_alive_s + 1)
        assert connection.wire.closed


async def test_the_date_is_as_fresh_as_uvicorn_keeps_it() -> None:
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello"))
    connection.server.default_headers = [(b"date", b"another"), (b"x-more", b"too")]
    connection.protocol.data_received(post(b"hello"))
    assert b"date: another\r\nx-more: too\r\n" in connection.wire.sent


async def test_a_broken_request_ends_the_connection() -> None:
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello") + b"\r\n\r\nnot HTTP\r\n\r\n")
    assert connection.wire.sent.startswith(ANSWER + b"HTTP/1.1 400")
    assert connection.wire.ended
    connection.protocol.data_received(post(b"hello"))
    assert connection.wire.sent.count(b"HTTP/1.1 ") == 2
    connection.protocol.sweep(connection.protocol._loop.time() + 3)
    assert connection.wire.closed


async def test_an_answer_that_comes_later_keeps_its_place() -> None:
    inquiry = Inquiry(SHORT)
    app = App(inquiry)
    connection = Connection(app)
    connection.protocol.data_received(post(b"1") + post(b"2", path=b"/long"))
    await asyncio.sleep(0)
    assert (connection.wire.sent, app.scopes) == (b"", [])
    inquiry.finish()
    assert connection.wire.sent == ANSWER
    sent = await connection.exchange(answers=2)
    assert sent.startswith(ANSWER)
    assert sent.endswith(b"POST 2")


DISTURBANCES: dict[str, Callable[[Connection], None]] = {
    "the server stops": lambda connection: connection.protocol.shutdown(),
    "the caller does not read": lambda connection: connection.protocol.pause_writing(),
    "the caller has gone": lambda connection: connection.protocol.connection_lost(None),
}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES.keys())
async def test_whoever_is_disturbed_meanwhile_is_served_the_usual_way(disturb: Callable[[Connection], None]) -> None:
    inquiry = Inquiry(SHORT)
    app = App(inquiry)
    connection = Connection(app)
    connection.protocol.data_received(post(b"hello"))
    disturb(connection)
    inquiry.finish()
    assert (connection.wire.sent, len(connection.server.tasks)) == (b"", 1)
    connection.protocol.resume_writing()
    await until(lambda: not connection.server.tasks)
    assert [scope["state"][HEAD_START] for scope in app.scopes] in ([(1.0, None)], [])


@pytest.mark.parametrize("begins", [True, False])
async def test_what_an_inquiry_does_not_answer_is_served_the_usual_way(begins: bool) -> None:  # noqa: FBT001
    inquiry = Inquiry(None, begins=begins)
    connection = Connection(App(inquiry))
    connection.protocol.data_received(post(b"hello"))
    if begins:
        inquiry.finish()
    assert (await connection.exchange()).endswith(b"POST hello")


async def test_what_an_inquiry_does_not_answer_keeps_its_place_and_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    app, reference = App(), App()
    inquiry = Inquiry(None)
    monkeypatch.setattr(app, "answer", lambda *_: inquiry)
    requests = post(b"1" * 50_000) + post(b"2", path=b"/long") + post(b"3", b"X-Name: value", path=b"/long")
    connection = Connection(app)
    # The head of a fourth has begun when the first comes to be served.
    connection.protocol.data_received(requests + b"GET /fourth HTTP/1.0\r\nConnection: close\r\n")
    inquiry.finish()
    served = await connection.exchange(answers=3)
    assert served == await Connection(reference, reference=True).exchange(requests, answers=3)
    del app.scopes[0]["state"][HEAD_START]
    assert app.scopes == reference.scopes
    assert b"GET" in await connection.exchange(b"\r\n", answers=4)
    assert connection.wire.closed


async def test_a_connection_that_waits_for_an_answer_is_not_idle() -> None:
    inquiry = Inquiry(SHORT)
    connection = Connection(App(inquiry))
    connection.protocol.data_received(post(b"hello"))
    connection.protocol.sweep(connection.protocol._loop.time() + 2 * LIMITS.keep_alive_s)
    assert not connection.wire.closed
    inquiry.finish()
    assert connection.wire.sent == ANSWER
    connection.protocol.sweep(connection.protocol._loop.time() + 2 * LIMITS.keep_alive_s)
    assert connection.wire.closed


@pytest.mark.parametrize("pieces", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
async def test_any_other_request_is_served_as_uvicorn_does_when_heads_are_known(pieces: tuple[bytes, ...]) -> None:
    app, reference = App(), App()
    connection = Connection(app)
    connection.protocol.data_received(post(b"hello"))
    served = await connection.exchange(*pieces, answers=2)
    assert served == ANSWER + await Connection(reference, reference=True).exchange(*pieces)
    assert len(app.short) == 1
    assert app.scopes == reference.scopes


async def test_a_request_whose_head_is_known_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    Connection(app).protocol.data_received(post(b"hello", b"X-Request-Id: one"))
    connection = Connection(app)
    monkeypatch.delattr(requests, "read_head")
    connection.protocol.data_received(post(b"world", b"X-Request-Id: one"))
    assert connection.wire.sent == ANSWER
    assert app.short == [(b"one", b"hello"), (b"one", b"world")]


async def test_a_known_head_waits_for_its_turn_and_for_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_protocol, "_PATIENCE_S", 60.0)
    app = App()
    connection = Connection(app)
    connection.protocol.data_received(post(b"hello"))
    app.open.clear()
    connection.protocol.data_received(post(b"first", path=b"/long"))
    connection.protocol.data_received(post(b"later"))
    connection.protocol.data_received(post(b"parts")[:-2])
    assert connection.wire.sent == ANSWER
    app.open.set()
    sent = await connection.exchange(answers=3)
    assert sent.endswith(b"POST first" + ANSWER)
    assert (await connection.exchange(b"ts", answers=4)) == sent + ANSWER
    assert [body for _, body in app.short] == [b"hello", b"later", b"parts"]


async def test_a_protocol_that_is_offered_changes_nothing() -> None:
    app = App()
    connection = Connection(app)
    request = post(b"hello", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    connection.protocol.data_received(request)
    connection.protocol.data_received(request[:-5])
    connection.protocol.data_received(b"hello")
    assert connection.wire.sent == ANSWER * 2
    assert app.short == [(b"", b"hello")] * 2


@pytest.mark.parametrize("path", [b"/short", b"/long"])
async def test_requests_that_are_not_their_turn_stay_few_bytes(path: bytes) -> None:
    app = App(None)
    connection = Connection(app)
    app.open.clear()
    for _ in range(1_000):
        if not connection.wire.reading:
            break
        connection.protocol.data_received(post(b"a" * 100, path=path) * 100)
        await asyncio.sleep(0)
    assert not connection.wire.reading
    assert len(connection.protocol._held) < 100_000
    assert len(connection.server.tasks) == 1
    app.open.set()
    await until(lambda: not connection.protocol._held)
    assert connection.wire.reading


async def test_heads_of_any_number_leave_no_more_than_a_thousand() -> None:
    app = App()
    connection = Connection(app)
    for number in range(3_000):
        connection.protocol.data_received(post(b"hello", b"X-Number: %d" % number))
    assert app.shared.requests.known.cache_info().currsize == 1024
    connection.protocol.data_received(post(b"hello", b"X-Other: " + b"a" * 2_000))
    assert app.shared.requests.known.cache_info().misses == 3_000
    assert connection.wire.sent == ANSWER * 3_001
