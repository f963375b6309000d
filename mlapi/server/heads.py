"""Reads the head of a request: what it asks for, and how its body is framed (RFC 9112)."""

import re
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

import httptools

from mlapi.errors import HeadersTooLargeError, InvalidHttpError, UriTooLongError

CHUNKED: Final = -1
END: Final = b"\r\n\r\n"

_ORIGIN: Final = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
"""What an absolute target has in front of its path (RFC 9112, section 3.2.2)."""

_HOST: Final = re.compile(rb"[^\s,/?#@]*")
_VERSIONS: Final = {b"1.0": "1.0", b"1.1": "1.1"}
_SINGLE: Final = (b"host", b"content-length", b"transfer-encoding")
_MAX_DIGITS: Final = 20
_MAX_LENGTH: Final = 2**64

MAX_TARGET_BYTES: Final = 32_768
_MAX_LINES: Final = 256
"""Of a request's headers and its first line; a browser behind two proxies sends some 30."""


Headers: TypeAlias = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """What a request's head says: a tuple, because one may be made for each request.

    Attributes:
        method: in upper case.
        target: as it came.
        raw_path, path, query: its parts; the path also with its escapes decoded.
        version: `1.0` or `1.1`.
        headers: in their order, names in lower case; shared between requests, so not to be changed.
        keep_alive: whether the caller wants the connection to stay open.
        expects_continue: whether the caller waits to be told before it sends the body.
        body_bytes: how long the body is, 0 without one; `CHUNKED` if it comes in chunks.
    """

    method: bytes
    target: bytes
    raw_path: bytes
    path: str
    query: bytes
    version: str
    headers: Headers
    keep_alive: bool
    expects_continue: bool
    body_bytes: int


class _Parts:
    """Collects what a parser finds in a head."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: Headers = []
        self.complete = False

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take note that the parser found the end."""
        self.complete = True


def read_head(data: bytes) -> Head:
    """Read a head with llhttp, and refuse what llhttp lets through but other readers may read differently.

    llhttp sees nothing of what follows the head. It takes every request that offers another protocol for the last one
    in HTTP/1.1 (RFC 9110, section 7.8, lets a server decline) and has no bounds; so bodies are framed elsewhere.

    Args:
        data: all bytes from the first of the request line to the empty line's last.

    Raises:
        InvalidHttpError: it is no valid head of a request in HTTP/1.1 or HTTP/1.0, or of one to a proxy.
        HeadersTooLargeError: it has too many lines.
        UriTooLongError: its target is too long.
    """
    parts = _Parts()
    parser = httptools.HttpRequestParser(parts)
    lines = data.count(b"\r\n")
    if lines > _MAX_LINES:
        msg = f"a head may have {_MAX_LINES} lines"
        raise HeadersTooLargeError(msg)
    if data.count(b"\n") != lines or data.count(b"\r") != lines:
        msg = "a line ends with a carriage return and a line feed, and holds neither"
        raise InvalidHttpError(msg)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # declined: the connection goes on with this request's body, if it has one
    except httptools.HttpParserError as error:
        msg = f"the request's head is not HTTP/1.1: {error}"
        raise InvalidHttpError(msg) from None
    if len(parts.target) > MAX_TARGET_BYTES:
        msg = f"a target may have {MAX_TARGET_BYTES} bytes"
        raise UriTooLongError(msg)
    method = parser.get_method()
    # The parser has held the line to its form; to ask it for the version costs more than to look.
    line_end = data.find(b"\r\n")
    version = _VERSIONS.get(data[line_end - 3 : line_end])
    if not parts.complete or version is None or method == b"CONNECT":
        msg = "only requests to a server in HTTP/1.1 or HTTP/1.0 are served"
        raise InvalidHttpError(msg)
    return _head(method, version, parts.target, parts.headers)


def _head(method: bytes, version: str, target: bytes, headers: Headers) -> Head:
    fields = dict(headers)
    wishes = fields.get(b"connection", b"")
    if len(fields) < len(headers):
        names = [name for name, _ in headers]
        if any(names.count(name) > 1 for name in _SINGLE):
            msg = "a header that says where a request goes, or where it ends, comes twice"
            raise InvalidHttpError(msg)
        wishes = b",".join([value for name, value in headers if name == b"connection"])
    host = fields.get(b"host")
    if not _HOST.fullmatch(host) if host is not None else version == "1.1":
        msg = "a request names one host (RFC 9112, section 3.2)"
        raise InvalidHttpError(msg)
    raw_path, query = _split(method, target)
    path = raw_path.decode("ascii")
    latest = version == "1.1"
    return Head(
        method,
        target,
        raw_path,
        unquote(path) if "%" in path else path,
        query,
        version,
        headers,
        latest and not (wishes and b"close" in [wish.strip() for wish in wishes.lower().split(b",")]),
        latest and fields.get(b"expect", b"").lower() == b"100-continue",
        _framing(version, fields.get(b"content-length"), fields.get(b"transfer-encoding")),
    )


def _split(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a target."""
    rest = target
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return target, b""
        origin = _ORIGIN.match(target)
        rest = target[origin.end() :] if origin else b"#"
        if not rest.startswith(b"/"):
            rest = b"/" + rest
    if b"#" in rest or not rest.isascii():
        msg = "the request's target is neither a path nor a URL"
        raise InvalidHttpError(msg)
    path, _, query = rest.partition(b"?")
    return path, query


def _framing(version: str, length: bytes | None, coding: bytes | None) -> int:
    """Return how long the body is, or `CHUNKED` (RFC 9112, section 6)."""
    if coding is not None:
        if length is not None or coding.strip(b" \t").lower() != b"chunked" or version != "1.1":
            msg = "a body comes with a length or in chunks, and in no other transfer coding"
            raise InvalidHttpError(msg)
        return CHUNKED
    if length is None:
        return 0
    size = length.strip(b" \t")
    # Only digits of ASCII are digits of bytes.
    if not size.isdigit() or len(size) > _MAX_DIGITS or int(size) >= _MAX_LENGTH:
        msg = "Content-Length is not one number"
        raise InvalidHttpError(msg)
    return int(size)
