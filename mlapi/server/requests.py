"""Reads heads, and remembers those that came before: most callers send the same over and over."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mlapi.api.shortcut import Shortcut
from mlapi.server.heads import Head, read_head

_KNOWN_HEADS: Final = 1024
"""Of one caller there are as many as there are lengths of a body."""

MAX_KNOWN_BYTES: Final = 1024
"""Longer heads are not remembered: with as many as there may be, and what was read from them, some 3 MB are taken."""

_NEVER: Final = -2


@dataclass(frozen=True, slots=True)
class Request:
    """A head, and what may answer it without a task.

    Attributes:
        head: what a parser read.
        shortcut: what may answer; None: only the application.
        given_id: the header `X-Request-Id`; empty if there is none.
        short_bytes: how long the body is, if there is a shortcut; else no length that a body has.
    """

    head: Head
    shortcut: Shortcut | None
    given_id: bytes
    short_bytes: int


class Requests:
    """Reads the heads of all connections of a server.

    Attributes:
        recognise: `read`, with what it returned for the last heads; each is known by all of its bytes.
    """

    def __init__(self, shortcuts: Mapping[bytes, Shortcut]) -> None:
        """Take what may answer plain requests, by target."""
        self._shortcuts = shortcuts
        self.recognise = lru_cache(_KNOWN_HEADS)(self.read)

    def read(self, data: bytes) -> Request:
        """Read a head.

        Raises:
            InvalidHttpError: it is none.
        """
        head = read_head(data)
        fields = dict(head.headers)
        shortcut = self._shortcuts.get(head.target)
        plain = head.method == b"POST" and head.keep_alive and head.body_bytes > 0 and not head.expects_continue
        if shortcut is None or not plain or not shortcut.suits(fields):
            return Request(head, None, b"", _NEVER)
        return Request(head, shortcut, fields.get(b"x-request-id", b""), head.body_bytes)
