"""Reads the head of a request: what it asks for, and how its body is framed (RFC 9112)."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httptools

from mlapi.errors import HeadersTooLargeError, InvalidHttpError, UriTooLongError

CHUNKED: Final = -1
END: Final = b"\r\n\r\n"

_ORIGIN: Final = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
"""What an absolute target has in front of its path (RFC 9112, section 3.2.2)."""

_HOST: Final = re.compile(rb"[^\s,/?#@]*")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_COUNT: Final = re.compile(rb"[0-9]{1,20}")
_MAX_LENGTH: Final = 2**64

MAX_TARGET_BYTES: Final = 32_768
_MAX_LINES: Final = 256
"""Of a request's headers and its first line; a browser behind two proxies sends some 30."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a request's head says.

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
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    expects_continue: bool
    body_bytes: int


class _Parts:
    """Collects what a parser finds in a head."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        """Start empty."""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
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
    version = parser.get_http_version()
    if not parts.complete or version not in _VERSIONS or method == b"CONNECT":
        msg = "only requests to a server in HTTP/1.1 or HTTP/1.0 are served"
        raise InvalidHttpError(msg)
    return _head(method, version, parts.target, parts.headers)


def _head(method: bytes, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> Head:
    fields = dict(headers)
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1") or not all(map(_HOST.fullmatch, hosts)):
        msg = "a request names one host (RFC 9112, section 3.2)"
        raise InvalidHttpError(msg)
    wishes = {wish.strip() for name, value in headers if name == b"connection" for wish in value.lower().split(b",")}
    raw_path, query = _split(method, target)
    path = raw_path.decode("ascii")
    return Head(
        method=method,
        target=target,
        raw_path=raw_path,
        path=unquote(path) if "%" in path else path,
        query=query,
        version=version,
        headers=headers,
        keep_alive=version == "1.1" and b"close" not in wishes,
        expects_continue=version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
        body_bytes=_framing(version, headers),
    )


def _split(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a target."""
    if target == b"*" and method == b"OPTIONS":
        return target, b""
    origin = _ORIGIN.match(target)
    rest = target[origin.end() :] if origin else target
    path, _, query = rest.partition(b"?")
    if (not path.startswith(b"/") and (path or not origin)) or b"#" in rest or not rest.isascii():
        msg = "the request's target is neither a path nor a URL"
        raise InvalidHttpError(msg)
    return path or b"/", query


def _framing(version: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return how long the body is, or `CHUNKED` (RFC 9112, section 6)."""
    lengths = [value.strip(b" \t") for name, value in headers if name == b"content-length"]
    codings = [value.strip(b" \t").lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if lengths or codings != [b"chunked"] or version != "1.1":
            msg = "a body comes with a length or in chunks, and in no other transfer coding"
            raise InvalidHttpError(msg)
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not _COUNT.fullmatch(lengths[0]) or int(lengths[0]) >= _MAX_LENGTH:
        msg = "Content-Length is not one number"
        raise InvalidHttpError(msg)
    return int(lengths[0])
