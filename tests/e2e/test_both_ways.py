"""A known text is answered in the same bytes by the short way and by the ordinary one, and counted the same."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

LONG = "word " * 600


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        yield process
        assert process.complaints == []


def comparable(head: bytes) -> bytes:
    """Return a head without what differs from one answer to the next."""
    head = re.sub(rb"(?m)^date: .*\r\n", b"", head)
    return re.sub(rb"dur=[\d.]+", b"dur=?", head)


def chunked(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
    return b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)


@pytest.mark.parametrize("path", [b"/project/predict", b"/project/bulk-predict"])
@pytest.mark.parametrize(
    "text",
    ["bare", ["one"], ["one", "two", "one"], ["Ünïcode “quotes”", "\u4f60\u597d"], [LONG, "short", LONG], ["x"] * 500],
    ids=["a bare string", "one", "a repeated one", "not ASCII", "truncated ones", "many"],
)
def test_both_ways_give_the_same_bytes_and_counts(service: ServiceProcess, path: bytes, text: str | list[str]) -> None:
    body = msgspec.json.encode({"text": text})
    given_id = b"X-Request-Id: the-same"
    plain = post(body, given_id, path=path)
    usual = {
        "with a query": post(body, given_id, path=path + b"?"),
        "in chunks": chunked(plain),
        "with a directive": post(body, given_id, b"Cache-Control: max-age=0", path=path),
        "with a parameter": plain.replace(b"application/json", b"application/json; charset=UTF-8"),
    }
    with RawConnection(service) as connection:
        connection.ask(plain)
        with service.counting() as expected:
            short = connection.ask(plain)
        assert short.status == 200
        assert 'mlapi; hit; detail="l1=' in short.headers["cache-status"]
        for way, request in usual.items():
            with service.counting() as rises:
                other = connection.ask(request)
            assert (comparable(other.head), other.body) == (comparable(short.head), short.body), way
            assert about_requests(rises) == about_requests(expected), way


def about_requests(rises: dict[str, float]) -> dict[str, float]:
    """Leave out what the measuring itself changes, and times."""
    names = ("mlapi_http_requests_total", "mlapi_texts_total", "mlapi_predictions_total", "mlapi_cache_operations")
    return {
        name: rise
        for name, rise in rises.items()
        if name.startswith((*names, "mlapi_truncated_texts_total", "mlapi_http_request_duration_seconds_count"))
        and "/metrics" not in name
    }


def test_a_text_that_leaves_l1_is_no_longer_answered_by_the_short_way() -> None:
    with ServiceProcess(engine="fake", l1_bytes="2000") as service, RawConnection(service) as connection:
        first = connection.ask(post(b'{"text":["the first"]}'))
        assert connection.ask(post(b'{"text":["the first"]}')).headers["cache-status"].startswith("mlapi; hit")
        for number in range(5):
            connection.ask(post(b'{"text":["another %d"]}' % number))
        again = connection.ask(post(b'{"text":["the first"]}'))
        assert "fwd=miss; stored" in again.headers["cache-status"]
        assert again.body == first.body


def test_both_ways_to_the_shared_tier_give_the_same_bytes_and_counts(redis: PrivateRedis) -> None:
    body = msgspec.json.encode({"text": ["from Redis", LONG]})
    plain = post(body, b"X-Request-Id: the-same")
    with (
        ServiceProcess(engine="fake", redis_url=redis.url, l1_bytes="0", redis_timeout_ms="5000") as service,
        RawConnection(service) as connection,
    ):
        connection.ask(plain)
        eventually(lambda: "l2=2" in connection.ask(plain).headers["cache-status"], "both texts in Redis")
        with service.counting() as expected:
            short = connection.ask(plain)
        with service.counting() as rises:
            other = connection.ask(chunked(plain))
        assert (comparable(other.head), other.body) == (comparable(short.head), short.body)
        assert about_requests(rises) == about_requests(expected)
        partly = connection.ask(post(msgspec.json.encode({"text": [LONG, "not in Redis yet"]})))
        assert 'fwd=miss; stored; detail="l1=0 l2=1 collapsed=0 model=1"' in partly.headers["cache-status"]
