"""A head is read as RFC 9112 has it, or refused."""

import pytest

from mlapi.errors import InvalidHttpError
from mlapi.server.heads import CHUNKED, read_head


def head(*lines: bytes, first: bytes = b"POST /a?b=c HTTP/1.1", host: bytes = b"Host: test") -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines]) + b"\r\n\r\n"


def test_a_head_is_taken_apart() -> None:
    read = read_head(head(b"X-Name:  a value \t", b"x-name:", first=b"POST /%41/%c3%a4?b=c%20?d HTTP/1.1"))
    assert (read.method, read.version, read.target) == (b"POST", "1.1", b"/%41/%c3%a4?b=c%20?d")
    assert (read.raw_path, read.path, read.query) == (b"/%41/%c3%a4", "/A/ä", b"b=c%20?d")
    assert [(name, value.strip()) for name, value in read.headers] == [
        *((b"host", b"test"), (b"x-name", b"a value"), (b"x-name", b"")),
    ]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"//a", b"//a", b""),
        (b"/?", b"/", b""),
        (b"http://test/a?b", b"/a", b"b"),
        (b"HTTPS://test:1", b"/", b""),
        (b"http://[::1]?b", b"/", b"b"),
        (b"/a?http://b/#".rstrip(b"#"), b"/a", b"http://b/"),
    ],
)
def test_a_target_is_a_path_or_a_url(target: bytes, path: bytes, query: bytes) -> None:
    read = read_head(head(first=b"GET %b HTTP/1.1" % target))
    assert (read.raw_path, read.query) == (path, query)


def test_a_star_is_for_options() -> None:
    assert read_head(head(first=b"OPTIONS * HTTP/1.1")).path == "*"
    with pytest.raises(InvalidHttpError):
        read_head(head(first=b"GET * HTTP/1.1"))


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: keep-alive",), True),
        (b"1.1", (b"Connection: upgrade, Close",), False),
        (b"1.1", (b"Connection: close", b"Connection: keep-alive"), False),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: keep-alive",), False),
    ],
)
def test_a_connection_stays_open_in_http_1_1_unless_it_says_close(
    version: bytes,
    lines: tuple[bytes, ...],
    keep_alive: bool,  # noqa: FBT001  drawn
) -> None:
    assert read_head(head(*lines, first=b"GET / HTTP/" + version)).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length:\t 0012 \t",), 12),
        ((b"Content-Length: 18446744073709551615",), 2**64 - 1),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"Transfer-Encoding:  CHUNKED ",), CHUNKED),
        ((b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 5"), 5),
        ((b"Connection: upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked"), CHUNKED),
    ],
)
def test_a_body_has_a_length_or_comes_in_chunks(lines: tuple[bytes, ...], size: int) -> None:
    assert read_head(head(*lines)).body_bytes == size


def test_the_caller_waits_for_a_body_to_be_wanted_in_http_1_1_only() -> None:
    assert read_head(head(b"Expect: 100-Continue")).expects_continue
    assert not read_head(head(b"Expect: 100-continue", first=b"POST / HTTP/1.0")).expects_continue
    assert not read_head(head(b"Expect: more")).expects_continue


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        head(host=b"Host: a b"),
        head(host=b"Host: a/b"),
        head(b"Host: test"),
        head(first=b"GET  / HTTP/1.1 "),
        head(first=b"GET /"),
        head(first=b"GET / HTTP/1.2"),
        head(first=b"GET / HTTP/2.0"),
        head(first=b"get / HTTP/1.1"),
        head(first=b"CONNECT test:443 HTTP/1.1"),
        head(first=b"GET /#a HTTP/1.1"),
        head(first=b"GET /?a#b HTTP/1.1"),
        head(first=b"GET a HTTP/1.1"),
        head(first=b"GET ftp://test/ HTTP/1.1"),
        head(first=b"GET http:///a HTTP/1.1"),
        head(first=b"GET /\xc3\xa4 HTTP/1.1"),
        head(b"a b: c"),
        head(b": c"),
        head(b"X-A : c"),
        head(b" X-A: c"),
        head(b"X-A: b", b" c"),
        head(b"X-A: \x00"),
        head(b"X-A: b\rc"),
        head(b"X-A: b\nc: d"),
        head(b"Content-Length: "),
        head(b"Content-Length: 1_0"),
        head(b"Content-Length: 1 0"),
        head(b"Content-Length: +1"),
        head(b"Content-Length: \xb2"),
        head(b"Content-Length: 18446744073709551616"),
        head(b"Content-Length: 1", b"Content-Length: 1"),
        head(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: gzip"),
        head(b"Transfer-Encoding: gzip, chunked"),
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: chunked, chunked"),
        head(b"Transfer-Encoding:\x0bchunked"),
        head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
        head(b"Connection: upgrade", b"Upgrade: h2c", b"Transfer-Encoding: gzip"),
        head(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 1", b"Content-Length: 2"),
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidHttpError):
        read_head(data)
