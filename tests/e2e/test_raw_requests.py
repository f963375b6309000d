"""Bytes that no HTTP library would send: broken, slow, cut off, smuggled and pipelined requests."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually

BODY = b'{"text":["good"]}'
GET = b"GET /project/health HTTP/1.1\r\nHost: test\r\n"
CHUNKED = b"POST /project/predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
DEADLINE_S = 0.6


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", deadline_s=str(DEADLINE_S)) as process:
        yield process
        assert process.complaints == []


def requests(status: int) -> str:
    return f'mlapi_http_requests_total{{method="POST",route="/project/predict",status="{status}"}}'


NOT_HTTP = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an invented method": b"FETCH /project/predict HTTP/1.1\r\nHost: test\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\nHost: test\r\n\r\n",
    "a path without a slash": b"GET project/health HTTP/1.1\r\nHost: test\r\n\r\n",
    "a space before the colon": GET + b"X-Request-Id : a\r\n\r\n",
    "a header without a name": GET + b": a\r\n\r\n",
    "a negative length": post(BODY, length=b"-1"),
    "a length in words": post(BODY, length=b"seventeen"),
    "an empty length": post(BODY, length=b""),
    "a hexadecimal length": post(BODY, length=b"0x11"),
    "a length with a sign": post(BODY, length=b"+17"),
    "a length with a fraction": post(BODY, length=b"17.0"),
    "a length beyond 64 bits": post(BODY, length=b"9" * 30),
    "two lengths in one header": post(BODY, length=b"17, 17"),
    "two lengths": post(BODY, b"Content-Length: 16"),
    "a length and chunks": post(b"11\r\n" + BODY + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "another transfer coding": post(BODY, b"Transfer-Encoding: gzip"),
    "a transfer coding after chunked": CHUNKED.replace(b"chunked", b"chunked, gzip") + b"11\r\n" + BODY,
    "chunks of no size": CHUNKED + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks of the wrong size": CHUNKED + b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks of a negative size": CHUNKED + b"-5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a carriage return in the request id": post(BODY, b"X-Request-Id: a\rX-Injected: b"),
    "a line feed in the request id": post(BODY, b"X-Request-Id: a\nX-Injected: b"),
    "a folded request id": post(BODY, b"X-Request-Id: a\r\n X-Injected: b"),
    "a NUL in the request id": post(BODY, b"X-Request-Id: a\0b"),
    "an escape character in the request id": post(BODY, b"X-Request-Id: a\x1b[31mb"),
}


@pytest.mark.parametrize("request_bytes", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_is_refused_and_the_connection_closed(service: ServiceProcess, request_bytes: bytes) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(request_bytes)
        assert response.status == 400
        assert b"injected" not in response.head.lower()
        assert response.headers["connection"] == "close"
        assert connection.is_closed()
    assert service.predict("served after that").status_code == 200


@pytest.mark.parametrize(
    "given", [b"a\r\nX-Injected: b", b"caf\xe9", "caf\u00e9".encode(), b" ", b"a\tb", b"a" * 60_000]
)
@pytest.mark.parametrize("path", [b"/project/predict", b"/project/health", b"/nowhere"])
def test_a_request_id_reaches_the_answer_only_if_it_is_plain(
    service: ServiceProcess, path: bytes, given: bytes
) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(BODY, b"X-Request-Id: " + given, path=path))
        assert b"injected" not in response.head.lower()
        sent = response.headers["x-request-id"]
        assert sent == "a" if given.startswith(b"a\r\n") else re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", sent)
        assert response.head.lower().count(b"x-request-id") == 1
        assert connection.ask(post(BODY)).status == 200


def test_white_space_around_a_length_is_no_part_of_it(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        assert connection.ask(post(BODY, length=b"  %d \t" % len(BODY))).status == 200


def test_a_huge_length_is_413_before_anything_is_sent(service: ServiceProcess) -> None:
    for length in (b"8388609", b"9223372036854775807", b"18446744073709551615"):
        with RawConnection(service) as connection:
            response = connection.ask(post(b"", length=length))
            assert_problem(response, 413, response.status, "payload_too_large", [])


@pytest.mark.parametrize("size", [8 * 1024 * 1024 + 1, 9_000_000])
def test_a_413_before_the_body_was_read_leaves_the_connection_in_step(service: ServiceProcess, size: int) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(b"", length=b"%d" % size))
        assert_problem(response, 413, response.status, "payload_too_large", [])
        # What follows is still the body, though it looks like a request: nothing in it may be answered.
        smuggled = post(b'{"text":["smuggled"]}')
        connection.send(smuggled + b"x" * (size - len(smuggled)))
        response = connection.ask(post(BODY, b"X-Request-Id: the-next"))
        assert (response.status, response.headers["x-request-id"]) == (200, "the-next")


def test_errors_do_not_cost_the_connection(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        for _ in range(3):
            assert connection.ask(post(b"{")).status == 400
            assert connection.ask(post(b"{}")).status == 422
            assert connection.ask(post(BODY, path=b"/nowhere")).status == 404
            assert connection.ask(post(b"a" * 100_000, path=b"/project/health")).status == 405
            assert connection.ask(post(b"a" * 100_000, path=b"/project/predict?detail=x")).status == 422
            assert connection.ask(CHUNKED + b"11\r\n" + BODY + b"\r\n0\r\n\r\n").status == 200
            assert connection.ask(post(BODY)).status == 200


def test_a_request_before_the_body_of_a_refused_one_has_come_is_not_lost(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(b"", path=b"/project/predict?detail=x", length=b"200000"))
        assert response.status == 422
        connection.send(b"x" * 150_000)
        connection.send(b"x" * 50_000 + post(BODY))
        assert connection.read().status == 200


def test_pipelined_requests_are_answered_in_order(service: ServiceProcess) -> None:
    count = 60
    with RawConnection(service) as connection:
        connection.send(
            b"".join(
                post(b'{"text":["pipelined %d"]}' % number, b"X-Request-Id: p%d" % number)
                + post(b"{}", b"X-Request-Id: q%d" % number)
                for number in range(count)
            )
        )
        answers = [connection.read() for _ in range(2 * count)]
    assert [answer.status for answer in answers] == [200, 422] * count
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids == [f"{letter}{number}" for number in range(count) for letter in "pq"]


@pytest.mark.parametrize("keep_alive", [(), (b"Connection: keep-alive",)], ids=["plain", "with keep-alive"])
def test_http_1_0_is_served_and_the_connection_closed(service: ServiceProcess, keep_alive: tuple[bytes, ...]) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(BODY, *keep_alive, version=b"1.0"))
        assert response.status == 200
        assert response.headers["connection"] == "close"
        assert int(response.headers["content-length"]) == len(response.body)
        assert connection.is_closed()


def test_connection_close_is_honoured(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(BODY, b"Connection: close"))
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert connection.is_closed()


def test_expect_100_continue_is_answered_before_the_body(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        head = post(b"", b"Expect: 100-continue", length=b"%d" % len(BODY))
        assert connection.ask(head).status == 100
        assert connection.ask(BODY).status == 200
        too_large = post(b"", b"Expect: 100-continue", length=b"99999999")
        assert connection.ask(too_large).status == 413


@pytest.mark.parametrize("body", [b"", BODY[:5]], ids=["nothing", "a part"])
def test_a_body_that_does_not_come_is_408_and_the_connection_closed(service: ServiceProcess, body: bytes) -> None:
    with service.counting() as rises, RawConnection(service) as connection:
        response = connection.ask(post(body, length=b"%d" % len(BODY)))
        assert_problem(response, 408, response.status, "body_timeout", [])
        assert response.headers["connection"] == "close"
        assert connection.is_closed()
    assert rises[requests(408)] == 1


def test_a_body_that_trickles_in_is_408_however_often_it_moves(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        connection.send(post(b"", length=b"1000000"))
        connection.socket.settimeout(0.02)
        for _ in range(1_000):
            try:
                connection.send(b" ")
                if connection.socket.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        connection.socket.settimeout(5)
        response = connection.read()
        assert_problem(response, 408, response.status, "body_timeout", [])


@pytest.mark.parametrize(
    "request_bytes",
    [post(BODY[:5], length=b"%d" % len(BODY)), CHUNKED + b"11\r\n" + BODY[:5], CHUNKED, post(b"", length=b"5")],
    ids=["within the body", "within a chunk", "before the first chunk", "before the body"],
)
def test_a_body_that_breaks_off_is_counted_and_forgotten(service: ServiceProcess, request_bytes: bytes) -> None:
    with service.counting() as rises:
        before = service.metric("mlapi_http_requests_total", method="POST", route="/project/predict", status="499")
        with RawConnection(service) as connection:
            connection.send(request_bytes)
        eventually(
            lambda: (
                service.metric("mlapi_http_requests_total", method="POST", route="/project/predict", status="499")
                == before + 1
            ),
            "the broken request is counted",
            DEADLINE_S * 5,
        )
    assert requests(408) not in rises
    assert service.predict("served after that").status_code == 200


def test_a_connection_that_is_reset_within_a_body_breaks_nothing(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        connection.send(post(b"x" * 100_000, length=b"200000"))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert service.predict("served after that").status_code == 200


def test_heads_that_never_end_keep_nobody_waiting(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(service)) for _ in range(100)]
        for connection in connections:
            connection.send(GET + b"X-Slow: ")
        assert service.predict("served beside them").status_code == 200
        for connection in connections[:10]:
            assert connection.ask(b"but it ends\r\n\r\n", method="GET").status == 200


def test_a_client_that_reads_nothing_costs_no_more_than_its_requests(service: ServiceProcess) -> None:
    texts = b",".join(b'"unread %d"' % number for number in range(2_000))
    request = post(b'{"text":[' + texts + b"]}")
    service.forget_peak()
    before = service.peak_memory
    with RawConnection(service, timeout_s=0.3) as connection:
        with suppress(TimeoutError):
            for _ in range(300):
                connection.send(request)
        assert service.predict("served beside it").status_code == 200
    assert service.peak_memory - before < 40 * 1024 * 1024
