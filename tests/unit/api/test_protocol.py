"""The short way answers plain requests at once; all others are served as uvicorn's own protocol serves them."""

import asyncio
from collections.abc import Callable

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlapi.api.protocol import ShortcutProtocol
from tests.stores import until
from tests.unit.api.http_wire import ANSWER, SHORT, App, Connection, Inquiry, post

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
    "an upgrade": (post(b"hello", b"Connection: Upgrade", b"Upgrade: h2c"),),
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
    connection = Connection(ShortcutProtocol, app)
    for count in (1, 2):
        connection.protocol.data_received(post(b"hello", b"X-Request-Id: one", b"Connection: keep-alive"))
        assert connection.wire.sent == ANSWER * count
        assert connection.server.total_requests == count
    assert app.short == [(b"one", b"hello")] * 2
    assert not connection.server.tasks


@pytest.mark.parametrize("pieces", IN_PIECES.values(), ids=IN_PIECES.keys())
async def test_a_request_may_come_in_pieces_that_follow_one_another(pieces: tuple[bytes, ...]) -> None:
    app = App()
    connection = Connection(ShortcutProtocol, app)
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
    connection = Connection(ShortcutProtocol, app)
    connection.protocol.data_received(start)
    await until(lambda: bool(connection.server.tasks))
    served = await connection.exchange(rest, answers=2)
    assert served == await Connection(HttpToolsProtocol, reference).exchange(start, rest, answers=2)
    assert (app.short, app.scopes) == ([], reference.scopes)


@pytest.mark.parametrize("late", [False, True])
async def test_an_idle_connection_keeps_no_body(late: bool) -> None:  # noqa: FBT001
    app = App()
    connection = Connection(ShortcutProtocol, app)
    body = b"a" * 100_000
    connection.protocol.data_received(post(body)[:70_000])
    if late:
        await until(lambda: bool(connection.server.tasks))
    await connection.exchange(post(body)[70_000:])
    assert len(app.short) == (not late)
    held = [len(item) for item in vars(connection.protocol).values() if isinstance(item, bytes)]
    assert max(held) < len(body) // 2


async def test_a_stop_waits_for_a_body_that_has_begun() -> None:
    connection = Connection(ShortcutProtocol, App())
    connection.protocol.data_received(post(b"hello")[:-3])
    connection.protocol.shutdown()
    assert not connection.wire.closed
    assert (await connection.exchange(b"llo")).endswith(b"connection: close\r\n\r\nPOST hello")


async def test_a_body_that_breaks_off_is_left_to_the_application() -> None:
    scopes = []
    for protocol in (ShortcutProtocol, HttpToolsProtocol):
        app = App()
        connection = Connection(protocol, app)
        connection.protocol.data_received(post(b"hello")[:-3])
        connection.protocol.connection_lost(None)
        await until(lambda: bool(app.scopes) and not connection.server.tasks)  # noqa: B023  called at once
        scopes.append(app.scopes)
        assert (connection.wire.sent, app.short) == (b"", [])
    assert scopes[0] == scopes[1]


@pytest.mark.parametrize("pieces", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
async def test_any_other_request_is_served_as_uvicorn_does(pieces: tuple[bytes, ...]) -> None:
    app, reference = App(), App()
    served = await Connection(ShortcutProtocol, app).exchange(*pieces)
    assert served == await Connection(HttpToolsProtocol, reference).exchange(*pieces)
    assert app.short == []
    assert app.scopes == reference.scopes


async def test_what_the_shortcut_leaves_is_served_as_uvicorn_does() -> None:
    app, reference = App(None), App()
    request = post(b"hello" * 20_000, b"X-Name: value")
    served = await Connection(ShortcutProtocol, app).exchange(request)
    assert served == await Connection(HttpToolsProtocol, reference).exchange(request)
    assert len(app.short) == 1
    assert app.scopes == reference.scopes


async def test_answers_keep_the_order_of_their_requests() -> None:
    app = App()
    connection = Connection(ShortcutProtocol, app)
    app.open.clear()
    connection.protocol.data_received(post(b"1") + post(b"2", path=b"/long") + post(b"3") + post(b"4"))
    assert connection.wire.sent == ANSWER
    app.open.set()
    sent = await connection.exchange(answers=4)
    assert [line for line in sent.split(b"\r\n") if line.startswith((b"POST", b"short"))] == [
        *(b"shortHTTP/1.1 200 OK", b"POST 2HTTP/1.1 200 OK", b"POST 3HTTP/1.1 200 OK", b"POST 4"),
    ]
    connection.protocol.data_received(post(b"5"))
    assert connection.wire.sent == sent + ANSWER


async def test_who_does_not_read_waits() -> None:
    app = App()
    connection = Connection(ShortcutProtocol, app)
    connection.protocol.pause_writing()
    connection.protocol.data_received(post(b"hello"))
    assert (connection.wire.sent, app.short) == (b"", [])
    connection.protocol.resume_writing()
    assert (await connection.exchange()).endswith(b"POST hello")


@pytest.mark.parametrize(
    "close", [lambda connection: connection.protocol.shutdown(), lambda connection: connection.wire.close()]
)
async def test_a_connection_at_its_end_is_closed_and_answers_nothing_more(close: Callable[[Connection], None]) -> None:
    connection = Connection(ShortcutProtocol, App())
    connection.protocol.data_received(post(b"hello"))
    close(connection)
    assert connection.wire.closed
    connection.protocol.data_received(post(b"too late"))
    assert connection.wire.sent == ANSWER


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    connection = Connection(ShortcutProtocol, App(), timeout_keep_alive=0.01)
    connection.protocol.data_received(post(b"hello"))
    assert not connection.wire.closed
    await until(lambda: connection.wire.closed)


async def test_the_date_is_as_fresh_as_uvicorn_keeps_it() -> None:
    connection = Connection(ShortcutProtocol, App())
    connection.protocol.data_received(post(b"hello"))
    connection.server.default_headers = [(b"date", b"another"), (b"x-more", b"too")]
    connection.protocol.data_received(post(b"hello"))
    assert b"date: another\r\nx-more: too\r\n" in connection.wire.sent


@pytest.mark.parametrize("settings", [{"access_log": True}, {"limit_concurrency": 10}])
async def test_a_server_that_logs_or_limits_requests_serves_them_all_itself(
    settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    if "access_log" in settings:
        settings = settings | {"log_level": "critical"}
    await Connection(ShortcutProtocol, app, **settings).exchange(post(b"hello"))
    assert app.short == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_broken_request_ends_the_connection() -> None:
    connection = Connection(ShortcutProtocol, App())
    connection.protocol.data_received(post(b"hello") + b"\r\n\r\nnot HTTP\r\n\r\n")
    assert connection.wire.sent.startswith(ANSWER + b"HTTP/1.1 400")
    assert connection.wire.closed


async def test_an_answer_that_comes_later_keeps_its_place() -> None:
    inquiry = Inquiry(SHORT)
    app = App(inquiry)
    connection = Connection(ShortcutProtocol, app)
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
    connection = Connection(ShortcutProtocol, app)
    connection.protocol.data_received(post(b"hello"))
    disturb(connection)
    inquiry.finish()
    assert (connection.wire.sent, len(connection.server.tasks)) == (b"", 1)
    connection.protocol.resume_writing()
    await until(lambda: not connection.server.tasks)
    assert [scope["mlapi.inquiry"] for scope in app.scopes] in ([inquiry], [])


@pytest.mark.parametrize("begins", [True, False])
async def test_what_an_inquiry_does_not_answer_is_served_the_usual_way(begins: bool) -> None:  # noqa: FBT001
    inquiry = Inquiry(None, begins=begins)
    connection = Connection(ShortcutProtocol, App(inquiry))
    connection.protocol.data_received(post(b"hello"))
    if begins:
        inquiry.finish()
    assert (await connection.exchange()).endswith(b"POST hello")


async def test_what_an_inquiry_does_not_answer_keeps_its_place_and_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    app, reference = App(), App()
    inquiry = Inquiry(None)
    monkeypatch.setattr(app, "answer", lambda *_: inquiry)
    requests = post(b"1" * 50_000) + post(b"2", path=b"/long") + post(b"3", b"X-Name: value", path=b"/long")
    connection = Connection(ShortcutProtocol, app)
    # The head of a fourth has begun when the first comes to be served.
    connection.protocol.data_received(requests + b"GET /fourth HTTP/1.0\r\nConnection: close\r\n")
    inquiry.finish()
    served = await connection.exchange(answers=3)
    assert served == await Connection(HttpToolsProtocol, reference).exchange(requests, answers=3)
    del app.scopes[0]["mlapi.inquiry"]
    assert app.scopes == reference.scopes
    assert b"GET" in await connection.exchange(b"\r\n", answers=4)
    assert connection.wire.closed


async def test_an_idle_connection_is_closed_after_its_last_answer_whichever_way_it_took() -> None:
    app = App()
    connection = Connection(ShortcutProtocol, app, timeout_keep_alive=0.05)
    connection.protocol.data_received(post(b"hello"))
    began = connection.protocol.loop.time()
    # By now the timer of the first answer would have gone off.
    while connection.protocol.loop.time() < began + 0.06:
        connection.protocol.data_received(post(b"hello"))
        await asyncio.sleep(0)
    last = connection.protocol.loop.time()
    assert not connection.wire.closed
    await until(lambda: connection.wire.closed)
    assert connection.protocol.loop.time() - last > 0.04
    assert len(app.known_heads) == 1


async def test_a_connection_that_waits_for_an_answer_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    connection = Connection(ShortcutProtocol, app, timeout_keep_alive=0.01)
    for _ in range(2):
        connection.protocol.data_received(post(b"hello"))
    inquiry = Inquiry(SHORT)
    monkeypatch.setattr(app, "answer", lambda *_: inquiry)
    connection.protocol.data_received(post(b"hello"))
    timer = connection.protocol.timeout_keep_alive_task
    await until(lambda: connection.protocol.timeout_keep_alive_task is not timer)
    assert not connection.wire.closed
    inquiry.finish()
    assert connection.wire.sent == ANSWER * 3
    await until(lambda: connection.wire.closed)


@pytest.mark.parametrize("pieces", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
async def test_any_other_request_is_served_as_uvicorn_does_when_heads_are_known(pieces: tuple[bytes, ...]) -> None:
    app, reference = App(), App()
    connection = Connection(ShortcutProtocol, app)
    connection.protocol.data_received(post(b"hello"))
    served = await connection.exchange(*pieces, answers=2)
    assert served == ANSWER + await Connection(HttpToolsProtocol, reference).exchange(*pieces)
    assert len(app.short) == 1
    assert app.scopes == reference.scopes


async def test_a_request_whose_head_is_known_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    Connection(ShortcutProtocol, app).protocol.data_received(post(b"hello", b"X-Request-Id: one"))
    connection = Connection(ShortcutProtocol, app)
    monkeypatch.setattr(connection.protocol, "parser", None)
    connection.protocol.data_received(post(b"world", b"X-Request-Id: one"))
    assert connection.wire.sent == ANSWER
    assert app.short == [(b"one", b"hello"), (b"one", b"world")]


async def test_a_known_head_waits_for_its_turn_and_for_its_body() -> None:
    app, reference = App(), App()
    connection, other = Connection(ShortcutProtocol, app), Connection(HttpToolsProtocol, reference)
    connection.protocol.data_received(post(b"hello"))
    app.open.clear()
    reference.open.clear()
    for one in (connection, other):
        one.protocol.data_received(post(b"first", path=b"/long"))
        one.protocol.data_received(post(b"later"))
        one.protocol.data_received(post(b"parts")[:-2])
    assert connection.wire.sent == ANSWER
    for application in (app, reference):
        application.open.set()
    served = await connection.exchange(b"ts", answers=4)
    assert served == ANSWER + await other.exchange(b"ts", answers=3)
