"""Serves the files that the pages consist of, each read once, and the headers that every page has."""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.types import Receive, Scope, Send

FOLDER: Final = Path(__file__).parent

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

SECURITY: Final[Sequence[tuple[bytes, bytes]]] = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Nothing from elsewhere, nothing inline, in no frame; a form's `Origin` is sent only with a referrer policy such as
this one."""

HTML: Final = b"text/html; charset=utf-8"


def etag(content: bytes) -> bytes:
    """Return the entity tag of a content (RFC 9110, section 8.8.3)."""
    return b'"%b"' % hashlib.blake2b(content, digest_size=12).hexdigest().encode()


def matches(scope: Scope, tag: bytes) -> bool:
    """Tell whether a request's `If-None-Match` names an entity tag."""
    given = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    return bool(given) and {b"*", tag} & {item.strip().removeprefix(b"W/") for item in given.split(b",")} != set()


class StaticFile:
    """One file, as plain ASGI; a browser asks each time whether it has changed."""

    def __init__(self, path: Path, media_type: str) -> None:
        """Serve a file; `.gz` is how it lies there, and how it is sent to who takes that."""
        self._path = path
        self._media_type = media_type.encode()
        self._compressed = path.suffix == ".gz"

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serve one request."""
        stored, tag = self._content
        body, more = stored, []
        if self._compressed:
            more = [(b"vary", b"accept-encoding")]
            if _takes_gzip(scope):
                more.append((b"content-encoding", b"gzip"))
                tag = tag[:-1] + b'-gzip"'
            else:
                body = gzip.decompress(stored)
        headers = [(b"etag", tag), (b"cache-control", b"no-cache"), *more, *SECURITY]
        status = HTTPStatus.OK
        if matches(scope, tag):
            status, body = HTTPStatus.NOT_MODIFIED, b""
        else:
            headers += [(b"content-type", self._media_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @cached_property
    def _content(self) -> tuple[bytes, bytes]:
        content = self._path.read_bytes()
        return content, etag(content)


def _takes_gzip(scope: Scope) -> bool:
    """Tell whether the caller takes gzip (RFC 9110, section 12.5.3); who says nothing gets the file as it is."""
    for name, value in scope["headers"]:
        if name != b"accept-encoding":
            continue
        for item in value.lower().split(b","):
            coding, _, weight = item.partition(b";")
            if coding.strip() == b"gzip":
                return weight.replace(b" ", b"").rstrip(b"0") not in {b"q=", b"q=0.", b"q=0"}
    return False


def static_files() -> Mapping[str, StaticFile]:
    """Return the files by the ends of their paths."""
    assets, swagger = FOLDER / "assets", FOLDER / "swagger"
    return {
        "/assets/page.css": StaticFile(assets / "page.css", "text/css; charset=utf-8"),
        "/assets/page.js": StaticFile(assets / "page.js", "text/javascript; charset=utf-8"),
        "/docs/docs.css": StaticFile(assets / "docs.css", "text/css; charset=utf-8"),
        "/docs/docs.js": StaticFile(assets / "docs.js", "text/javascript; charset=utf-8"),
        "/docs/swagger-ui.css": StaticFile(swagger / "swagger-ui.css.gz", "text/css; charset=utf-8"),
        "/docs/swagger-ui-bundle.js": StaticFile(swagger / "swagger-ui-bundle.js.gz", "text/javascript; charset=utf-8"),
    }
