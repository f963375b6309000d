"""Reads the request headers that matter and writes the response headers of a prediction."""

import itertools
import re
import secrets
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, TypeAlias

from mlapi.errors import InvalidModelDigestError, ModelMismatchError, UnsupportedMediaError
from mlapi.predictions import SourceCounts

SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_PINNED: Final = re.compile(rb"[0-9a-f]{12,32}")
"""A model digest or its beginning: as many digits as tell models apart wherever one is shown short."""

PLAIN_JSON: Final = frozenset(
    {b"", b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
)

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class RequestHead(NamedTuple):
    """The request headers that the prediction routes read: raw values, empty where absent.

    `encoded` and `pinned` tell whether there is a `Content-Encoding` and a `Model-Digest`, of which each field counts,
    not the last one alone.

    A tuple, as all values on the way of a cached answer: a frozen dataclass costs three times as much to make.
    """

    content_type: bytes = b""
    content_length: bytes = b""
    cache_control: bytes = b""
    request_id: bytes = b""
    client: bytes = b""
    encoded: bool = False
    pinned: bool = False


def read_head(headers: Collection[tuple[bytes, bytes]], client_header: bytes) -> RequestHead:
    """Pick the headers that matter; of a repeated one the last counts, of `Cache-Control`, which is a list, all."""
    fields = dict(headers)
    value = fields.get
    cache_control = value(b"cache-control", b"")
    if cache_control and len(fields) < len(headers):
        # A list may come in several fields (RFC 9110, section 5.3): a `no-store` in the first is meant, too.
        cache_control = b",".join([found for name, found in headers if name == b"cache-control"])
    return RequestHead(
        value(b"content-type", b""),
        value(b"content-length", b""),
        cache_control,
        value(b"x-request-id", b""),
        value(client_header, b""),
        b"content-encoding" in fields,
        b"model-digest" in fields,
    )


class RequestIds:
    """Gives every request an id: the caller's if it is sane, else one of our own."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def choose(self, given: bytes) -> bytes:
        """Echo at most 128 plain characters; anything else (line breaks, markup, nothing) is replaced."""
        if given and SANE_REQUEST_ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._numbers))


def check_content_type(value: bytes) -> None:
    """Accept JSON in UTF-8, and nothing said.

    Raises:
        UnsupportedMediaError: another media type, or another charset.
    """
    if value in PLAIN_JSON:
        return
    media_type, _, parameters = value.lower().partition(b";")
    media_type = media_type.strip()
    if media_type != b"application/json" and not (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    ):
        msg = "send the body as application/json"
        raise UnsupportedMediaError(msg)
    for parameter in parameters.split(b";"):
        name, _, charset = parameter.strip().partition(b"=")
        if name.strip() == b"charset" and charset.strip(b' "') not in {b"utf-8", b"utf8"}:
            msg = "JSON is UTF-8 (RFC 8259, section 8.1); send it without a charset, or with charset=utf-8"
            raise UnsupportedMediaError(msg)


def check_model(headers: Headers, digest: str) -> None:
    """Hold a request that names its model by a header `Model-Digest`, in full or by its beginning, to the one served.

    Args:
        headers: all of the request's.
        digest: of the model that is served, in lower case.

    Raises:
        InvalidModelDigestError: the header is not 12 to 32 hexadecimal digits, or there are several.
        ModelMismatchError: it is another model's.
    """
    pinned = b",".join([value for name, value in headers if name == b"model-digest"]).strip(b" \t").lower()
    if not _PINNED.fullmatch(pinned):
        msg = "Model-Digest is a model digest, 32 hexadecimal digits, or its first 12 or more"
        raise InvalidModelDigestError(msg)
    wanted = pinned.decode()
    if not digest.startswith(wanted):
        msg = f"the model {digest} is served here, not {wanted}"
        raise ModelMismatchError(msg, headers=[("model-digest", digest)])


def cache_directives(value: bytes) -> frozenset[bytes]:
    """Names of the directives in a `Cache-Control` request header (RFC 9111, section 5.2)."""
    if not value:
        return frozenset()
    return frozenset(item.partition(b"=")[0].strip() for item in value.lower().split(b","))


def cache_status(counts: SourceCounts, *, stored: bool) -> bytes:
    """Write the `Cache-Status` member of this cache (RFC 9211): `hit` only if no text needed the model."""
    l1, l2, collapsed, model = counts
    if not (collapsed or model):
        return b'mlapi; hit; detail="l1=%d l2=%d collapsed=0 model=0"' % (l1, l2)
    return b'mlapi; fwd=miss%s%s; detail="l1=%d l2=%d collapsed=%d model=%d"' % (
        b"; stored" if stored else b"",
        b"; collapsed" if collapsed else b"",
        l1,
        l2,
        collapsed,
        model,
    )


def server_timing(total_s: float, queue_s: float, model_s: float) -> bytes:
    """Write `Server-Timing` (W3C) in milliseconds: what is neither queue nor model is cache and service."""
    if not model_s:
        return b"cache;dur=%.3f" % (total_s * 1e3)
    rest = max(0.0, total_s - queue_s - model_s)
    return b"cache;dur=%.3f, queue;dur=%.3f, model;dur=%.3f" % (rest * 1e3, queue_s * 1e3, model_s * 1e3)
