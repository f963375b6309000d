"""A caller that closes its sending side behind its request, and still reads, gets its answer."""

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

KNOWN = b'{"text":["known before"]}'
GET = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
GONE = 'mlapi_http_requests_total{method="POST",route="/project/predict",status="499"}'

numbers = itertools.count()


def new() -> bytes:
    return b'{"text":["never seen before, number %d"]}' % next(numbers)


def chunked(body: bytes) -> bytes:
    head = b"POST /project/predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        process.predict("known before")
        yield process
        assert process.complaints == []


@pytest.mark.parametrize(
    ("requests", "answers"),
    [
        (post(KNOWN), 1),
        (post(new()), 1),
        (post(new(), version=b"1.0"), 1),
        (post(new(), b"Connection: close"), 1),
        (chunked(new()), 1),
        (GET, 1),
        (post(new()) + post(new()) + post(new()), 3),
        (post(KNOWN) + post(new()) + post(KNOWN), 3),
        (post(new()) + post(KNOWN) + GET, 3),
        (post(new()) + post(KNOWN)[:-1], 1),
        (post(b'{"text":["' + b"a long body " * 1_500 + b'"]}', path=b"/project/bulk-predict"), 1),
    ],
    ids=[
        "a known text",
        "an unknown text",
        "HTTP/1.0",
        "one that closes anyway",
        "in chunks",
        "GET",
        "three sent together",
        "known and unknown ones",
        "an unknown one, and others",
        "and a part of another one",
        "a long body",
    ],
)
def test_all_that_was_asked_is_answered_and_the_connection_closed(
    service: ServiceProcess, requests: bytes, answers: int
) -> None:
    with RawConnection(service) as connection:
        connection.send(requests)
        connection.socket.shutdown(socket.SHUT_WR)
        assert [connection.read().status for _ in range(answers)] == [200] * answers
        assert connection.is_closed()


def test_an_answer_from_the_shared_tier_comes_too(redis: PrivateRedis) -> None:
    with ServiceProcess(engine="fake", redis_url=redis.url, l1_bytes="0", redis_timeout_ms="5000") as service:
        for _ in range(2):
            with RawConnection(service) as connection:
                connection.send(post(KNOWN))
                connection.socket.shutdown(socket.SHUT_WR)
                assert connection.read().status == 200
                assert connection.is_closed()
            eventually(lambda: "l2=1" in service.predict("known before").headers["cache-status"], "the text in Redis")


@pytest.mark.parametrize(
    "request_bytes",
    [post(new(), length=b"100"), chunked(new())[:-5], post(b"", length=b"30")],
    ids=["within the body", "within the chunks", "before the body"],
)
def test_a_request_that_is_not_whole_is_given_up(service: ServiceProcess, request_bytes: bytes) -> None:
    before = service.samples().get(GONE, 0.0)
    with RawConnection(service) as connection:
        connection.send(request_bytes)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()
    eventually(lambda: service.samples()[GONE] == before + 1, "the broken request is counted")
