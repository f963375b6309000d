"""Lets web pages of other origins read the answers (the CORS protocol of the Fetch standard)."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST")
_EXPOSED: Final = (
    "Cache-Status",
    "Server-Timing",
    "Model-Digest",
    "X-Request-Id",
    "X-Truncated",
    "Retry-After",
    "Accept-Encoding",
    "WWW-Authenticate",
    "RateLimit",
    "RateLimit-Policy",
)
"""Headers of answers that a page may read beside those that it always may."""

_MAX_AGE_S: Final = 7_200
"""How long a browser need not ask again; more than any but Firefox keeps."""


class CrossOrigin:
    """Starlette's CORSMiddleware, asked what to send in the places of this service where it is sent.

    As a middleware it would answer preflights itself: those would not be counted and have no request id.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        """Admit pages of these origins; `*` admits all."""
        self._middleware = CORSMiddleware(
            _nowhere,
            allow_origins=origins,
            allow_methods=_METHODS,
            # An API key is given to a page by its user: no header that a browser adds unasked lets a page do more.
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=_MAX_AGE_S,
        )

    def wrap(self, scope: Scope, send: Send) -> Send:
        """Return what sends the answer to this request, with what the browser has to see.

        The answer to a GET depends on the origin even where there is none, in the eyes of a shared cache, and says so;
        one to a POST is never kept (RFC 9110, section 9.3.3).
        """
        headers = Headers(scope=scope)
        if _is_preflight(scope, headers) or ("origin" not in headers and scope["method"] == "POST"):
            return send
        return partial(self._middleware.send, send=send, request_headers=headers)

    def preflight(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return headers for the answer to an OPTIONS: what a page may do, if this is a preflight that is admitted."""
        headers = Headers(scope=scope)
        if not _is_preflight(scope, headers):
            return []
        response = self._middleware.preflight_response(headers)
        admitted = response.status_code == HTTPStatus.OK
        return [
            (name, value)
            for name, value in response.raw_headers
            if name == b"vary" or (admitted and name.startswith(b"access-control-"))
        ]


def is_preflight(scope: Scope) -> bool:
    """Tell whether a browser asks what a page may do; it sends no credentials with that."""
    return _is_preflight(scope, Headers(scope=scope))


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the application that a middleware wraps."""
