"""A connection costs little, and not for long, whatever its caller does not do."""

import pytest

from mlapi.server.limits import Holding, Unread
from tests.stores import until
from tests.unit.server.http_wire import ANSWER, LIMITS, SHORT, App, Connection, Inquiry, post

HEAD = b"POST /short HTTP/1.1\r\nHost: test\r\nX-A: "


def sweep(connection: Connection, after_s: float) -> None:
    """Look at a connection so many seconds from now."""
    connection.protocol.sweep(connection.protocol._loop.time() + after_s)


def refused(app: App, status: str) -> float | None:
    labels = {"route": "unknown", "method": "other", "status": status}
    return app.metrics.registry.get_sample_value("mlapi_http_requests_total", labels)


async def test_a_connection_without_a_first_byte_is_closed_in_silence() -> None:
    connection = Connection(App())
    connection.protocol.data_received(b"\r\n" * 100)
    sweep(connection, LIMITS.keep_alive_s - 1)
    assert not connection.wire.closed
    sweep(connection, LIMITS.keep_alive_s + 1)
    assert (connection.wire.closed, connection.wire.sent) == (True, b"")


@pytest.mark.parametrize("first", [b"", post(b"hello"), post(b"hello", path=b"/long")], ids=["first", "next", "after"])
async def test_a_head_has_its_time_from_its_first_byte(first: bytes) -> None:
    app = App()
    connection = Connection(app)
    if first:
        await connection.exchange(first)
    sent = connection.wire.sent
    sweep(connection, 3)
    for byte in HEAD:
        connection.protocol.data_received(bytes([byte]))
    sweep(connection, LIMITS.head_s - 0.5)
    assert connection.wire.sent == sent
    sweep(connection, LIMITS.head_s + 0.5)
    assert connection.wire.sent[len(sent) :].startswith(b"HTTP/1.1 408 ")
    assert (connection.wire.ended, refused(app, "408")) == (True, 1)


async def test_a_head_that_comes_in_time_leaves_the_next_its_own_time() -> None:
    connection = Connection(App())
    connection.protocol.data_received(HEAD)
    connection.protocol.data_received(b"a\r\nContent-Length: 5\r\n\r\nhello")
    assert connection.wire.sent == ANSWER
    sweep(connection, LIMITS.head_s + 1)
    assert not connection.wire.ended


@pytest.mark.parametrize("whole", [False, True])
async def test_a_head_has_a_size(whole: bool) -> None:  # noqa: FBT001
    for line, status in ((b"X-A: " + b"a" * 9_000, b"431"), (b"A:\r\n" * 300, b"431"), (b"A: b", b"200")):
        connection = Connection(App())
        data = post(b"hello", line.removesuffix(b"\r\n"))
        for piece in (data,) if whole else (data[:5_000], data[5_000:]):
            connection.protocol.data_received(piece)
        assert connection.wire.sent.startswith(b"HTTP/1.1 " + status), line[:10]
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello", path=b"/" + b"a" * 9_000)[: 10_000 if whole else 8_500])
    assert connection.wire.sent.startswith(b"HTTP/1.1 414 ")


async def test_heads_together_have_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    monkeypatch.setattr(app.shared, "holding", Holding(10_000))
    first, second, third = (Connection(app) for _ in range(3))
    first.protocol.data_received(HEAD + b"a" * 6_000)
    second.protocol.data_received(HEAD + b"a" * 6_000)
    third.protocol.data_received(HEAD)
    assert third.wire.sent.startswith(b"HTTP/1.1 503 ")
    third.protocol.connection_lost(None)
    first.protocol.connection_lost(None)
    second.protocol.data_received(b"\r\nContent-Length: 5\r\n\r\nhello")
    assert second.wire.sent == ANSWER
    assert not app.shared.holding._bytes


async def test_connections_have_a_number() -> None:
    app = App()
    first = Connection(app)
    others = [Connection(app, beside=first) for _ in range(LIMITS.connections + 64)]
    assert [len(other.wire.sent) > 0 for other in others] == [False] * 2 + [True] * 64 + [False] * 1
    assert others[2].wire.sent.startswith(b"HTTP/1.1 503 ")
    assert others[2].wire.ended
    assert others[-1].wire.closed
    assert refused(app, "503") == 64
    for other in others:
        other.protocol.connection_lost(None)
    assert (await Connection(app, beside=first).exchange(post(b"hello"))) == ANSWER


async def test_the_rest_of_a_body_that_is_answered_has_its_time() -> None:
    app = App()
    connection = Connection(app)
    app.reads = False
    await connection.exchange(post(b"hello", path=b"/long")[:-3])
    assert b"200 OK" in connection.wire.sent
    sweep(connection, 29)
    assert not connection.wire.closed
    sweep(connection, 31)
    assert connection.wire.closed


async def test_an_answer_that_is_due_has_the_applications_time() -> None:
    inquiry = Inquiry(SHORT)
    connection = Connection(App(inquiry))
    connection.protocol.data_received(post(b"hello") + HEAD)
    sweep(connection, 10_000)
    assert not connection.wire.closed
    inquiry.finish()
    assert connection.wire.sent == ANSWER
    sweep(connection, LIMITS.head_s + 1)
    assert connection.wire.ended


async def test_who_does_not_read_an_answer_is_cut_off() -> None:
    for takes_s, reads, cut_off in ((29, 0, False), (31, 0, True), (31, 70_000, False), (31, 60_000, True)):
        connection = Connection(App())
        connection.protocol.data_received(post(b"hello"))
        connection.wire.unsent = 1_000_000
        sweep(connection, 1)
        connection.wire.unsent -= reads
        sweep(connection, 1 + takes_s)
        assert connection.wire.aborted is cut_off, (takes_s, reads)


def test_who_reads_and_is_sent_more_does_not_stall() -> None:
    unread = Unread()
    assert not any(unread.stalls(50_000, answered_at=now - 0.5, now=now) for now in map(float, range(1, 100)))
    assert any(unread.stalls(50_000, answered_at=99.0, now=now) for now in map(float, range(100, 140)))
    assert not unread.stalls(0, answered_at=99.0, now=200.0)
    assert not unread.stalls(10, answered_at=99.0, now=300.0)


async def test_a_fault_in_a_body_reaches_the_application_and_ends_the_connection() -> None:
    app = App()
    connection = Connection(app)
    head = b"POST /long HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.protocol.data_received(head + b"5\r\nhe")
    connection.protocol.data_received(b"llo, world\r\n")
    await until(lambda: bool(app.faults))
    assert [fault.code for fault in app.faults] == ["invalid_http"]
    assert connection.wire.ended


async def test_a_last_answer_is_sent_to_its_end() -> None:
    connection = Connection(App())
    await connection.exchange(post(b"hello", b"Connection: close"))
    assert connection.wire.closed
    connection.wire.unsent = 1_000_000
    sweep(connection, 20)
    assert not connection.wire.aborted
    sweep(connection, 60)
    assert connection.wire.aborted


async def test_a_last_answer_can_be_read_by_who_still_sends() -> None:
    app = App()
    app.reads = False
    connection = Connection(app)
    await connection.exchange(post(b"hello", b"Connection: close", path=b"/long")[:-3])
    assert (connection.wire.ended, connection.wire.closed) == (True, False)
    connection.protocol.data_received(b"llo" + post(b"never"))
    sweep(connection, 1)
    assert not connection.wire.closed
    sweep(connection, 3)
    assert connection.wire.closed
    assert connection.wire.sent.count(b"HTTP/1.1 ") == 1


async def test_a_body_in_very_many_chunks_lets_others_have_their_turn() -> None:
    app = App()
    connection, other = Connection(app), Connection(app)
    head = b"POST /long HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.protocol.data_received(head + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n" + post(b"hello"))
    assert connection.wire.sent == b""
    other.protocol.data_received(post(b"hello"))
    assert other.wire.sent == ANSWER
    sent = await connection.exchange(answers=2)
    assert sent.endswith(b"POST " + b"a" * 40_000 + ANSWER)


async def test_what_is_dropped_after_a_last_answer_is_read() -> None:
    app = App()
    app.reads = False
    connection = Connection(app)
    head = b"POST /long HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
    connection.protocol.data_received(head + b"a" * 100_000)
    assert not connection.wire.reading
    await connection.exchange()
    assert (connection.wire.ended, connection.wire.closed, connection.wire.reading) == (True, False, True)


async def test_the_rest_of_a_short_body_is_not_a_head_that_is_late() -> None:
    connection = Connection(App())
    connection.protocol.data_received(post(b"hello")[:-3])
    sweep(connection, LIMITS.keep_alive_s + LIMITS.head_s)
    assert (connection.wire.sent, connection.wire.closed) == (b"", False)
    connection.protocol.data_received(b"llo")
    assert connection.wire.sent == ANSWER
