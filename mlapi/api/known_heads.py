"""Remembers the heads of plain requests, so that one that comes again byte for byte need not be parsed again."""

from dataclasses import dataclass
from typing import Final

from mlapi.api.shortcut import Shortcut

_END: Final = b"\r\n\r\n"
_MAX_HEADS: Final = 1024
"""Of one caller there are as many as there are lengths of a body."""

_MAX_BYTES: Final = 1024
"""Longer heads are not remembered: with as many as there may be, and what was read from them, some 3 MB are taken."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a parser read from a request's head.

    Attributes:
        shortcut: what may answer the request.
        url: its target.
        headers: its headers in their order, names in lower case; shared, so not to be changed.
        given_id: the header `X-Request-Id`; empty if there is none.
        body_bytes: how long its body is.
    """

    shortcut: Shortcut
    url: bytes
    headers: list[tuple[bytes, bytes]]
    given_id: bytes
    body_bytes: int


class KnownHeads:
    """The heads that a parser found plain. All are forgotten when there are too many: finding one is all that pays.

    A head is known by its own bytes, so it can only be taken for itself, and what a parser reads from the same bytes
    never changes.
    """

    def __init__(self, max_heads: int = _MAX_HEADS) -> None:
        """Start empty; `max_heads` are held at most."""
        self._max_heads = max_heads
        self._heads: dict[bytes, Head] = {}

    def __len__(self) -> int:
        """How many heads are known."""
        return len(self._heads)

    def recognise(self, data: bytes) -> Head | None:
        """Return the head of one whole request, if it is known; of a part, or of more than one, never."""
        end = data.find(_END) + len(_END)
        head = self._heads.get(data[:end])
        return head if head is not None and len(data) - end == head.body_bytes else None

    def learn(self, data: bytes, head: Head, body: bytes) -> None:
        """Remember a head that a parser has read, with its body, from `data`, if that held nothing else."""
        end = len(data) - len(body)
        opening = data[:end]
        if (
            end > _MAX_BYTES
            or not body
            or opening.find(_END) + len(_END) != end
            or not data.endswith(body)
            # A parser that takes a bare line feed for the end of a line may see an end of the head before this one.
            or opening.count(b"\n") != opening.count(b"\r\n")
        ):
            return
        if len(self._heads) >= self._max_heads:
            self._heads.clear()
        self._heads[opening] = head
