"""Bodies in a content coding are decoded, whatever is remembered of the same head and body without it."""

import gzip
import zlib
from collections.abc import Callable, Iterator

import pytest
from backports import zstd

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess

BODY = b'{"text":["sent in more than one coding"]}'
LIMIT = 1024 * 1024
ENCODED = {
    b"gzip": gzip.compress(BODY),
    b"GZIP": gzip.compress(BODY),
    b"x-gzip": gzip.compress(BODY),
    b"deflate": zlib.compress(BODY),
    b" deflate ": zlib.compress(BODY, wbits=-zlib.MAX_WBITS),
    b"zstd": zstd.compress(BODY),
    b"identity": BODY,
    b"": BODY,
    b"identity, gzip": gzip.compress(BODY),
}
ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
}
PATHS = [b"/project/predict", b"/project/bulk-predict"]


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", max_body_bytes=str(LIMIT)) as process:
        yield process
        assert process.complaints == []


@pytest.fixture
def connection(service: ServiceProcess) -> Iterator[RawConnection]:
    """Connect, and send the body plainly until the fast path answers it."""
    with RawConnection(service) as connection:
        for _ in range(3):
            assert connection.ask(post(BODY)).status == 200
        yield connection


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("coding", ENCODED)
def test_an_encoded_body_is_answered_as_what_it_decodes_to(
    connection: RawConnection, path: bytes, coding: bytes
) -> None:
    plain = connection.ask(post(BODY, path=path))
    request = post(ENCODED[coding], b"Content-Encoding: " + coding, path=path)
    for _ in range(3):
        response = connection.ask(request)
        assert (response.status, response.body) == (200, plain.body)
        assert response.headers["cache-status"].startswith("mlapi; hit;")


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
def test_a_body_that_is_not_what_its_header_says_is_400(connection: RawConnection, coding: bytes) -> None:
    for body in (BODY, b"", ENCODED[coding][:-1], ENCODED[coding] + b"garbage"):
        for _ in range(2):
            response = connection.ask(post(body, b"Content-Encoding: " + coding))
            assert_problem(response, 400, response.status, "invalid_content_encoding", [])
    assert connection.ask(post(BODY)).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "fields",
    [(b"snappy",), (b"br",), (b"gzip, zstd",), (b"gzip", b"zstd"), (b"gzip", b""), (b"snappy", b"identity")],
    ids=lambda fields: b" and ".join(fields).decode(),
)
def test_a_coding_that_is_not_decoded_is_415_and_says_which_are(
    connection: RawConnection, path: bytes, fields: tuple[bytes, ...]
) -> None:
    headers = [b"Content-Encoding: " + value for value in fields]
    response = connection.ask(post(BODY, *headers, path=path))
    if fields == (b"gzip", b""):
        assert_problem(response, 400, response.status, "invalid_content_encoding", [])
    else:
        assert_problem(response, 415, response.status, "unsupported_content_encoding", [])
        assert response.headers["accept-encoding"] == "gzip, deflate, zstd"


def test_another_media_type_is_no_matter_of_codings(connection: RawConnection) -> None:
    request = post(ENCODED[b"gzip"], b"Content-Encoding: gzip").replace(b"application/json", b"text/plain")
    response = connection.ask(request)
    assert_problem(response, 415, response.status, "unsupported_media_type", [])
    assert "accept-encoding" not in response.headers


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
def test_a_bomb_is_413_and_takes_no_more_memory_than_a_body_may(service: ServiceProcess, coding: bytes) -> None:
    encoders: dict[bytes, Callable[[bytes], bytes]] = {
        b"gzip": gzip.compress,
        b"deflate": zlib.compress,
        b"zstd": zstd.compress,
    }
    bomb = encoders[coding](b" " * (64 * LIMIT))
    service.predict("before")
    service.forget_peak()
    before = service.peak_memory
    with RawConnection(service) as connection:
        for _ in range(4):
            response = connection.ask(post(bomb, b"Content-Encoding: " + coding))
            assert_problem(response, 413, response.status, "payload_too_large", [])
        assert connection.ask(post(BODY)).status == 200
    assert service.peak_memory - before < 16 * LIMIT


def test_the_limits_on_texts_hold_for_what_a_body_decodes_to(connection: RawConnection) -> None:
    body = gzip.compress(b'{"text":["' + b"a" * 20_001 + b'"]}')
    response = connection.ask(post(body, b"Content-Encoding: gzip"))
    assert_problem(response, 422, response.status, "invalid_request", ["/text/0"])
