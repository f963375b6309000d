"""Cuts a body that comes in pieces into its lines, each within a bound."""

from collections.abc import Iterator

from mlapi.api.lines import Line
from mlapi.errors import PayloadTooLargeError

_NEWLINE = b"\n"


class LineSplitter:
    """Takes the pieces of one body; holds no more than one line.

    A line ends with a line feed, in front of which a carriage return is white space; what follows the last one is a
    line, too, unless it is empty.
    """

    def __init__(self, max_bytes: int) -> None:
        """Begin; a line with more bytes is not kept."""
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._too_long = False

    @property
    def held(self) -> int:
        """How many bytes of a line are there whose end has not come."""
        return len(self._held)

    def feed(self, piece: bytes) -> Iterator[Line]:
        """Yield the lines that end in this piece."""
        first, *others = piece.split(_NEWLINE)
        if not others:
            self._hold(first)
            return
        self._hold(first)
        yield self._take()
        rest = others.pop()
        for line in others:
            yield line if len(line) <= self._max_bytes else self._refused()
        self._hold(rest)

    def finish(self) -> Iterator[Line]:
        """Yield what follows the last line feed, if anything does."""
        if self._held or self._too_long:
            yield self._take()

    def _hold(self, part: bytes) -> None:
        if self._too_long or len(self._held) + len(part) > self._max_bytes:
            self._too_long = True
            self._held.clear()
        else:
            self._held += part

    def _take(self) -> Line:
        """Return the line that is complete now."""
        line: Line = self._refused() if self._too_long else bytes(self._held)
        self._held.clear()
        self._too_long = False
        return line

    def _refused(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"a line may have {self._max_bytes} bytes")
