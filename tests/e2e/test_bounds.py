"""What a connection may cost before anybody knows what it asks: bounds on heads, framing, time and number."""

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, RawResponse, post
from tests.service_process import ServiceProcess, eventually

BODY = b'{"text":["good"]}'
GET = b"GET /livez HTTP/1.1\r\nHost: test\r\n"
CHUNKED = b"POST /project/predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024
CONNECTIONS = 40


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(
        engine="fake", deadline_s="5", head_timeout_s="0.3", max_connections=str(CONNECTIONS)
    ) as process:
        process.predict("good")
        yield process
        assert process.complaints == []


def flood(connection: RawConnection, start: bytes, piece: bytes, limit: int) -> RawResponse:
    """Send a beginning and then the same piece until there is an answer, or `limit` bytes have been sent."""
    connection.send(start)
    connection.socket.settimeout(0.05)
    for _ in range(limit // len(piece)):
        try:
            connection.send(piece)
            if connection.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                break
        except (BlockingIOError, TimeoutError):
            continue
        except OSError:
            break
    connection.socket.settimeout(10)
    return connection.read()


ENDLESS = {
    "a header's value": (GET + b"X-A: ", b"a" * 65_536, 431, "headers_too_large"),
    "a header's name": (GET, b"a" * 65_536, 431, "headers_too_large"),
    "headers": (GET, b"a:\r\n" * 16_384, 431, "headers_too_large"),
    "a target": (b"GET /", b"a" * 65_536, 414, "uri_too_long"),
    "a query": (b"POST /project/predict?", b"a=1&" * 16_384, 414, "uri_too_long"),
    "an extension of a chunk": (CHUNKED + b"1;", b"a" * 65_536, 400, "invalid_http"),
    "extensions of chunks": (CHUNKED, b"1;%b\r\na\r\n" % (b"a" * 3_000) * 20, 400, "invalid_http"),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n" * 10_000, 400, "invalid_http"),
}


@pytest.mark.parametrize(("start", "piece", "status", "code"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_has_no_end_is_refused_after_some_kilobytes(
    service: ServiceProcess, start: bytes, piece: bytes, status: int, code: str
) -> None:
    service.forget_peak()
    before = service.peak_memory
    with service.counting() as rises, RawConnection(service) as connection:
        response = flood(connection, start, piece, 64 * MIB)
        assert_problem(response, status, response.status, code, [])
        assert response.headers["connection"] == "close"
        assert connection.is_closed()
    assert service.peak_memory - before < 8 * MIB
    assert sum(rise for name, rise in rises.items() if "requests_total" in name and f'status="{status}"' in name) == 1


def test_others_do_not_wait_for_heads_without_end(service: ServiceProcess) -> None:
    with ExitStack() as stack:
        slowest = 0.0
        for _ in range(20):
            connection = stack.enter_context(RawConnection(service))
            connection.socket.setblocking(False)  # noqa: FBT003  the socket module's own
            with suppress(OSError):
                connection.socket.send(GET + b"a:\r\n" * 500_000)
            began = time.monotonic()
            assert service.predict("good").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5


@pytest.mark.parametrize("size", [60_000, 65_000])
def test_a_long_head_is_served(service: ServiceProcess, size: int) -> None:
    with RawConnection(service) as connection:
        assert connection.ask(post(BODY, b"X-A: " + b"a" * size)).status == 200
        assert connection.ask(post(BODY, path=b"/project/predict?" + b"&" * (size // 2))).status == 200
        assert connection.ask(post(BODY)).status == 200


@pytest.mark.parametrize(
    "start", [GET + b"X-A: ", b"GET /livez?", b"POST /project/predict HTTP/1.1\r\n", b"\r\n" + GET]
)
def test_a_head_that_is_not_complete_in_time_is_408(service: ServiceProcess, start: bytes) -> None:
    def counted() -> float:
        return service.metric("mlapi_http_requests_total", route="unknown", method="other", status="408")

    before = counted()
    began = time.monotonic()
    with RawConnection(service) as connection:
        # However often something comes.
        response = flood_slowly(connection, start)
        assert time.monotonic() - began < 3
        assert_problem(response, 408, response.status, "head_timeout", [])
        assert response.headers["connection"] == "close"
        assert connection.is_closed()
    eventually(lambda: counted() == before + 1, "it is counted")


def flood_slowly(connection: RawConnection, start: bytes) -> RawResponse:
    """Send a byte every now and then until there is an answer."""
    connection.send(start)
    connection.socket.settimeout(0.05)
    for _ in range(200):
        try:
            if connection.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            connection.send(b"a")
    connection.socket.settimeout(10)
    return connection.read()


def test_a_head_in_many_pieces_is_served(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in itertools.count():
            if number == 3:
                break
            for byte in post(BODY):
                connection.send(bytes([byte]))
            assert connection.read().status == 200


def test_more_connections_than_allowed_are_refused_and_room_is_used_again(service: ServiceProcess) -> None:
    service.client.close()
    service.client = type(service.client)(base_url=service.url, timeout=30.0)
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(service)) for _ in range(CONNECTIONS)]
        for connection in connections:
            assert connection.ask(post(BODY)).status == 200
        with RawConnection(service) as connection:
            response = connection.ask(post(BODY))
            assert_problem(response, 503, response.status, "overloaded", [])
            assert int(response.headers["retry-after"]) >= 1
            assert connection.is_closed()
        assert connections[0].ask(post(BODY)).status == 200
    eventually(lambda: service.predict("good").status_code == 200, "there is room again")


def test_requests_sent_ahead_by_who_reads_nothing_cost_no_memory(service: ServiceProcess) -> None:
    service.forget_peak()
    before = service.peak_memory
    with RawConnection(service, timeout_s=0.3) as connection:
        with suppress(TimeoutError):
            for _ in range(1_000):
                connection.send((GET + b"\r\n") * 5_000)
        assert service.predict("good").status_code == 200
        assert service.peak_memory - before < 24 * MIB
