"""One request is one request, whatever it offers, however its body is framed and whenever its bytes come."""

import re
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually

BODY = b'{"text":["good"]}'
SMUGGLED = b"GET /project/health HTTP/1.1\r\nHost: test\r\n\r\n"
SETTINGS = b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"

OFFERS = {
    "HTTP/2, as Java's client offers it": (b"Connection: Upgrade, HTTP2-Settings", SETTINGS, b"Upgrade: h2c"),
    "WebSocket": (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "TLS": (b"Connection: upgrade", b"Upgrade: TLS/1.0, HTTP/1.1"),
    "nothing that exists": (b"Connection: keep-alive, UPGRADE", b"Upgrade: \x80?"),
    "nothing": (b"Connection: Upgrade", b"Upgrade:"),
    "without being asked to": (b"Upgrade: h2c",),
    "twice": (b"Connection: Upgrade", b"Upgrade: h2c", b"Connection: Upgrade", b"Upgrade: websocket"),
}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", deadline_s="5") as process:
        yield process
        assert process.complaints == []


def chunked(body: bytes, *lines: bytes, path: bytes = b"/project/predict") -> bytes:
    """Write a POST request whose body is one chunk."""
    head = [b"POST " + path + b" HTTP/1.1", b"Host: test", b"Content-Type: application/json", *lines]
    head.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join(head) + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("lines", OFFERS.values(), ids=OFFERS.keys())
@pytest.mark.parametrize("write", [post, chunked], ids=["with a length", "in chunks"])
def test_another_protocol_that_is_offered_is_declined_in_silence(
    service: ServiceProcess, write: Callable[..., bytes], lines: tuple[bytes, ...]
) -> None:
    request = write(BODY, *lines)
    with RawConnection(service) as connection:
        for _ in range(3):
            response = connection.ask(request)
            assert (response.status, len(response.json()["predictions"])) == (200, 1)
            assert not {"upgrade", "connection"} & set(response.headers)
        assert connection.ask(post(BODY)).status == 200


@pytest.mark.parametrize("lines", OFFERS.values(), ids=OFFERS.keys())
@pytest.mark.parametrize("write", [post, chunked], ids=["with a length", "in chunks"])
@pytest.mark.parametrize("path", [b"/project/predict", b"/project/predict?detail=1", b"/project/health", b"/nowhere"])
def test_a_body_that_comes_after_its_head_is_never_a_request(
    service: ServiceProcess, write: Callable[..., bytes], lines: tuple[bytes, ...], path: bytes
) -> None:
    head, end, body = write(SMUGGLED, *lines, path=path).partition(b"\r\n\r\n")
    with service.counting() as rises, RawConnection(service) as connection:
        connection.send(head + end)
        # What comes next is handed to the protocol by itself: its head has been read when another is answered.
        assert service.predict("beside it").status_code == 200
        connection.send(body)
        response = connection.read()
        assert response.status in {400, 404, 405}
        last = connection.ask(post(BODY, b"X-Request-Id: the-next"))
        assert (last.status, last.headers["x-request-id"]) == (200, "the-next")
    assert not any(re.search(r'requests_total.*"/project/health".*"200"', name) for name in rises)


@pytest.mark.parametrize("body", [b"", SMUGGLED], ids=["nothing", "a body"])
@pytest.mark.parametrize("target", [b"/project/predict", b"test:443", b"test"])
def test_connect_is_refused_and_nothing_after_it_is_read(service: ServiceProcess, target: bytes, body: bytes) -> None:
    with RawConnection(service) as connection:
        request = post(body, path=target).replace(b"POST", b"CONNECT", 1) + SMUGGLED
        assert connection.ask(request).status == 400
        assert connection.is_closed()


def test_any_row_of_requests_has_as_many_answers(service: ServiceProcess) -> None:
    offer = OFFERS["HTTP/2, as Java's client offers it"]
    row = [post(BODY, *offer), chunked(BODY, *offer), post(BODY), post(SMUGGLED, *offer), chunked(SMUGGLED)]
    with RawConnection(service) as connection:
        connection.send(b"".join(row * 10))
        assert [connection.read().status for _ in range(50)] == [200, 200, 200, 400, 400] * 10
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()


def test_an_absolute_target_is_its_path(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(BODY, path=b"http://test:8000/project/predict?detail=true"))
        assert (response.status, "details" in response.json()) == (200, True)
        assert connection.ask(post(BODY, path=b"HTTP://test")).status == 404
        assert connection.ask(post(BODY, path=b"http://test?x=1")).status == 404


FAULTS = {
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: test\r\nHost: other\r\n\r\n",
    "a host that is a list": b"GET /livez HTTP/1.1\r\nHost: test, other\r\n\r\n",
    "a fragment": b"GET /livez#part HTTP/1.1\r\nHost: test\r\n\r\n",
    "another scheme": b"GET ftp://test/livez HTTP/1.1\r\nHost: test\r\n\r\n",
    "a star": b"GET * HTTP/1.1\r\nHost: test\r\n\r\n",
    "a bare line feed": b"GET /livez HTTP/1.1\nHost: test\n\n",
    "a bare line feed at one end": b"GET /livez HTTP/1.1\r\nHost: test\nX: y\r\n\r\n",
    "a bare carriage return": b"GET /livez HTTP/1.1\r\nHost: test\r\nX: y\rz\r\n\r\n",
    "a folded line": b"GET /livez HTTP/1.1\r\nHost: test\r\nX: y\r\n z\r\n\r\n",
    "a fold in front": b"GET /livez HTTP/1.1\r\n Host: test\r\n\r\n",
    "a NUL": b"GET /livez HTTP/1.1\r\nHost: test\r\nX: \0\r\n\r\n",
    "HTTP/2.0": b"GET /livez HTTP/2.0\r\nHost: test\r\n\r\n",
    "HTTP/0.9": b"GET /livez HTTP/0.9\r\nHost: test\r\n\r\n",
    "an invented transfer coding": chunked(BODY).replace(b"chunked", b"xchunked"),
    "a coding before chunked": chunked(BODY).replace(b"chunked", b"gzip, chunked"),
    "chunked twice": chunked(BODY, b"Transfer-Encoding: chunked"),
    "an offer and an unknown coding": chunked(BODY, *OFFERS["WebSocket"]).replace(b"chunked", b"gzip"),
    "an offer, a length and chunks": chunked(BODY, *OFFERS["WebSocket"], b"Content-Length: 5"),
    "an offer and two lengths": post(BODY, *OFFERS["WebSocket"], b"Content-Length: 5"),
    "equal lengths": post(BODY, b"Content-Length: %d" % len(BODY)),
    "chunks in HTTP/1.0": chunked(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a space before a chunk's size": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n 11\r\n"),
    "a sign before a chunk's size": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n+11\r\n"),
    "a prefix of a chunk's size": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n0x11\r\n"),
    "a bare line feed after a chunk's size": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n11\n"),
    "a bare line feed in a chunk's extension": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n11;a\nb\r\n"),
    "no line end after a chunk": chunked(BODY).replace(b"}\r\n0", b"}0"),
    "a chunk's size beyond 64 bits": chunked(BODY).replace(b"\r\n\r\n11\r\n", b"\r\n\r\n" + b"f" * 17 + b"\r\n"),
    "a trailer that is none": chunked(BODY)[:-2] + b"no colon\r\n\r\n",
    "a folded trailer": chunked(BODY)[:-2] + b"X: y\r\n z\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", FAULTS.values(), ids=FAULTS.keys())
def test_what_two_readers_could_read_in_two_ways_is_refused(service: ServiceProcess, request_bytes: bytes) -> None:
    with service.counting() as rises, RawConnection(service) as connection:
        response = connection.ask(request_bytes + SMUGGLED)
        assert_problem(response, 400, response.status, "invalid_http", [])
        assert response.headers["connection"] == "close"
        assert connection.is_closed()
    counted = {name: rise for name, rise in rises.items() if "requests_total" in name and "/metrics" not in name}
    assert sum(counted.values()) == 1
    assert 'status="400"' in next(iter(counted))


def test_a_trailer_is_no_header(service: ServiceProcess) -> None:
    trailers = b"Cache-Control: only-if-cached\r\nX-Request-Id: from-behind\r\nContent-Type: text/plain\r\n"
    with RawConnection(service) as connection:
        request = chunked(b'{"text":["never seen before"]}')[:-2] + trailers + b"\r\n"
        response = connection.ask(request)
        assert response.status == 200
        assert response.headers["x-request-id"] != "from-behind"
        assert connection.ask(post(BODY)).status == 200


def test_extensions_of_chunks_are_ignored(service: ServiceProcess) -> None:
    pieces = b"".join(b'1;name=value;other="quoted; text"\r\n%c\r\n' % byte for byte in BODY)
    with RawConnection(service) as connection:
        head = chunked(b"").partition(b"\r\n\r\n")[0]
        assert connection.ask(head + b"\r\n\r\n" + pieces + b"0;last\r\n\r\n").status == 200
        assert connection.ask(post(BODY)).status == 200


def test_an_answer_in_place_of_a_body_that_was_asked_about_ends_the_connection(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(post(b"", b"Expect: 100-continue", length=b"99999999"))
        assert_problem(response, 413, response.status, "payload_too_large", [])
        # Nobody knows whether the body comes now, or the next request.
        assert response.headers["connection"] == "close"
        assert connection.is_closed()


def test_requests_that_are_refused_before_there_is_a_route_are_counted(service: ServiceProcess) -> None:
    def refused() -> float:
        return service.metric("mlapi_http_requests_total", route="unknown", method="other", status="400")

    before = refused()
    with RawConnection(service) as connection:
        assert connection.ask(b"not HTTP\r\n\r\n").status == 400
    eventually(lambda: refused() == before + 1, "it is counted")
