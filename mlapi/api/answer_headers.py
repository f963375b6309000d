"""The headers of a good answer: what the routes write, and beside it what the fast path fills in."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from mlapi.api.headers import cache_status, server_timing
from mlapi.predictions import SourceCounts

_VALUE: Final = re.compile(rb"%\((\w+)\)")

_FIXED: Final = ((b"content-type", b"application/json"),)
"""What every answer begins with."""

_KNOWN: Final = (
    *_FIXED,
    (b"content-length", b"%(length)d"),
    (b"cache-status", b'mlapi; hit; detail="l1=%(l1)d l2=%(l2)d collapsed=0 model=0"'),
    (b"server-timing", b"cache;dur=%(milliseconds).3f"),
    (b"model-digest", b"%(digest)b"),
    (b"x-truncated", b"%(truncated)d"),
    (b"x-request-id", b"%(request_id)b"),
)
"""What `answer_headers` writes for an answer from the cache alone, as formats of named values, in the same order."""

_OPTIONAL: Final = {b"x-truncated": b"truncated"}
"""Headers that some answers do not have, and the values that say so."""


def answer_headers(
    *,
    length: int,
    counts: SourceCounts,
    stored: bool,
    seconds: float,
    queue_s: float,
    model_s: float,
    digest: bytes,
    truncated: int,
    request_id: bytes,
) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer; whatever is added here has its line in the table above.

    Args:
        length: bytes in the body.
        counts: how many texts came from where.
        stored: whether a tier keeps all that the model said.
        seconds: from the first byte of the request until now.
        queue_s: seconds for which its texts waited for the model.
        model_s: seconds that they spent in it.
        digest: which model answered.
        truncated: how many texts were cut.
        request_id: the caller's, or a new one.
    """
    headers = [
        *_FIXED,
        (b"content-length", b"%d" % length),
        (b"cache-status", cache_status(counts, stored=stored)),
        (b"server-timing", server_timing(seconds, queue_s, model_s)),
        (b"model-digest", digest),
    ]
    if truncated:
        headers.append((b"x-truncated", b"%d" % truncated))
    headers.append((b"x-request-id", request_id))
    return headers


class KnownHead(NamedTuple):
    """The headers of answers from the cache alone, made for filling in.

    Attributes:
        format: of the values in their order, up to the empty line; an optional header is one value, its whole line.
        lines: formats of the optional headers' lines, by the names of their values.
    """

    format: bytes
    lines: dict[str, bytes]


def known_head(values: Sequence[str]) -> KnownHead:
    """Return what `answer_headers` says of an answer from the cache alone, for whoever has these values in this order.

    Raises:
        ValueError: the headers take other values, or the same in another order.
    """
    lines = {_OPTIONAL[name]: b"%b: %b\r\n" % (name, known) for name, known in _KNOWN if name in _OPTIONAL}
    named = b"".join(
        b"%%(%b)b" % _OPTIONAL[name] if name in _OPTIONAL else b"%b: %b\r\n" % (name, known) for name, known in _KNOWN
    )
    taken = [name.decode() for name in _VALUE.findall(named)]
    if taken != list(values):
        msg = f"the headers of an answer take {', '.join(taken)}, not {', '.join(values)}"
        raise ValueError(msg)
    return KnownHead(
        _VALUE.sub(b"%", named) + b"\r\n", {name.decode(): _VALUE.sub(b"%", line) for name, line in lines.items()}
    )
