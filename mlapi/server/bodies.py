"""Takes a request's body out of what a connection receives, by its framing (RFC 9112, sections 6 and 7)."""

import re
from typing import Final, Protocol

from mlapi.errors import InvalidHttpError
from mlapi.server.heads import CHUNKED, Head

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]{0,4096})?\r\n")
"""A chunk's first line: its size, and extensions, which mean nothing here."""

_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")

_MAX_CHUNKS: Final = 4_096
"""How many chunks are taken in one turn of the event loop: some 5 ms of its time."""

_MAX_LINE: Final = 4_096
"""Bytes in one line of the framing: a size with its extensions, or a trailer."""

_MAX_EXCESS: Final = 16_384
"""Bytes of extensions and trailers together, beyond what small chunks need (as in Go's net/http since 1.22.2)."""

_PLAIN_LINE: Final = 16
_LINE_END: Final = b"\r\n"

_SIZE_LINE: Final = 0
_END_LINE: Final = 1
_TRAILERS: Final = 2
"""What the next line is: a chunk's size, what follows its content, or a trailer."""


class Body(Protocol):
    """A body that is being received.

    Attributes:
        complete: whether its end has come.
    """

    complete: bool

    def take(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Return the next part of the content, and where in `data` what follows begins.

        Args:
            data: what was received.
            start: where in `data` the body goes on.

        Raises:
            InvalidHttpError: this is not how a body is framed.
        """


def body_of(head: Head) -> Body:
    """Return the body that follows a head."""
    return ChunkedBody() if head.body_bytes == CHUNKED else SizedBody(head.body_bytes)


class SizedBody:
    """A body with a `Content-Length`."""

    __slots__ = ("_missing", "complete")

    def __init__(self, size: int) -> None:
        self._missing = size
        self.complete = not size

    def take(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Return what is the body's."""
        end = min(len(data), start + self._missing)
        self._missing -= end - start
        self.complete = not self._missing
        return data[start:end], end


class ChunkedBody:
    """A body in chunks. Its trailers are read and dropped: no header may come behind the body that it is about."""

    __slots__ = ("_excess", "_expected", "_line", "_missing", "complete")

    def __init__(self) -> None:
        self._expected = _SIZE_LINE
        self._line = b""
        self._missing = 0
        self._excess = 0
        self.complete = False

    def take(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Return the content of the chunks, or parts of chunks, that have come; of very many, of the first."""
        parts: list[bytes] = []
        while start < len(data) and not self.complete and len(parts) < _MAX_CHUNKS:
            if self._missing:
                part = data[start : start + self._missing]
                self._missing -= len(part)
                start += len(part)
                parts.append(part)
                continue
            if self._expected == _SIZE_LINE and not self._line:
                start = self._take_whole(data, start, parts)
                if start == len(data) or len(parts) == _MAX_CHUNKS:
                    break
            end = data.find(b"\n", start) + 1
            line = self._line + data[start : end or len(data)]
            if len(line) > _MAX_LINE:
                msg = "a line between the chunks of the body is too long"
                raise InvalidHttpError(msg)
            start = end or len(data)
            if end:
                self._line = b""
                self._read(line)
            else:
                self._line = line
        return b"".join(parts), start

    def _take_whole(self, data: bytes, start: int, parts: list[bytes]) -> int:
        """Take chunks that are there from the first byte to the last: some callers send thousands of a few bytes."""
        excess = self._excess
        while len(parts) < _MAX_CHUNKS and (match := _SIZE.match(data, start)):
            begin = match.end()
            size = int(match[1], 16)
            end = begin + size
            if not size or not data.startswith(_LINE_END, end):
                break
            excess += begin - start - _PLAIN_LINE - 2 * size
            if excess < 0:
                excess = 0
            elif excess > _MAX_EXCESS:
                break
            parts.append(data[begin:end])
            start = end + len(_LINE_END)
        self._excess = min(excess, _MAX_EXCESS)
        return start

    def _read(self, line: bytes) -> None:
        if self._expected == _SIZE_LINE:
            self._read_size(line)
        elif self._expected == _END_LINE:
            if line != _LINE_END:
                msg = "a chunk of the body is longer than its size"
                raise InvalidHttpError(msg)
            self._expected = _SIZE_LINE
        elif line == _LINE_END:
            self.complete = True
        elif _TRAILER.fullmatch(line):
            self._exceed(len(line))
        else:
            msg = "what follows the body's chunks is no trailer"
            raise InvalidHttpError(msg)

    def _read_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            msg = "the body is not in chunks"
            raise InvalidHttpError(msg)
        self._missing = int(match[1], 16)
        self._expected = _END_LINE if self._missing else _TRAILERS
        # What a chunk may cost beside its content: its two line ends, a size, and as much again as it holds.
        self._exceed(len(line) - _PLAIN_LINE - 2 * self._missing)

    def _exceed(self, excess: int) -> None:
        self._excess = max(0, self._excess + excess)
        if self._excess > _MAX_EXCESS:
            msg = "there is more between the body's chunks than in them"
            raise InvalidHttpError(msg)
