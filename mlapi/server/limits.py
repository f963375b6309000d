"""Bounds what connections may cost before anybody knows what they ask, and after they were answered."""

from dataclasses import dataclass
from typing import Final

_MAX_HELD_BYTES: Final = 33_554_432
"""Bytes that all connections together may hold of what is not a request yet."""

_STALL_S: Final = 30.0
_LEAST_READ_BYTES: Final = 65_536
"""What a caller has to read of an answer in `_STALL_S`; of less that is left, all: 2 KiB a second."""

MAX_LEAVING: Final = 64
"""How many connections beyond the most that may be open are told so, instead of being closed in silence."""

LEAVE_S: Final = 2.0
DROP_S: Final = 30.0
"""How long what a caller still sends is dropped: after a refusal, and of a body that was answered before its end."""

HALF_CLOSE_S: Final = 0.05
"""How soon after its request a caller closes its sending side, if it still waits for the answer. The two travel
together; the event loop may be busy between them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that are settings.

    Attributes:
        connections: how many may be open at a time.
        head_bytes: how long a request's head may be.
        head_s: how long one may take, from its first byte to its last, seconds.
        keep_alive_s: how long a connection may stay open without a request, seconds.
    """

    connections: int
    head_bytes: int
    head_s: float
    keep_alive_s: float


class Holding:
    """Counts the bytes that all connections hold until they make a request."""

    def __init__(self, max_bytes: int = _MAX_HELD_BYTES) -> None:
        """Hold nothing; `max_bytes` is the most that should be."""
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether a connection that holds a part of a request should give up."""
        return self._bytes > self._max_bytes

    def change(self, by: int) -> None:
        """Count what one connection holds more, or less."""
        self._bytes += by


class Unread:
    """Tells when a caller does not read what it is sent."""

    __slots__ = ("_bytes", "_since")

    def __init__(self) -> None:
        self._bytes = 0
        self._since = 0.0

    def stalls(self, unsent: int, answered_at: float, now: float) -> bool:
        """Return whether it has read too little for too long; to be asked from time to time.

        Args:
            unsent: the bytes that the connection could not pass on yet.
            answered_at: when the last answer was written; more than enough unsent bytes, and no further one is.
            now: in seconds, as `answered_at`.
        """
        if not unsent or not self._bytes or answered_at > self._since or unsent <= self._bytes - _LEAST_READ_BYTES:
            self._bytes = unsent
            self._since = now
        return now - self._since > _STALL_S
