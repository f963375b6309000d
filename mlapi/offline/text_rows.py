"""Reads rows of JSON Lines, CSV, TSV and plain text, and knows the place after each."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from mlapi.offline.base import MAX_ROW_BYTES, OfflineError, Position, Refused, Row, UsageError
from mlapi.offline.compressed import STANDARD, Input, decompressed_size, open_input
from mlapi.offline.shards import WHOLE, Part

_BOM: Final = b"\xef\xbb\xbf"
_TOO_LONG: Final = Refused("row_too_long", f"the row has more than {MAX_ROW_BYTES} bytes")
_NO_UTF8: Final = Refused("invalid_encoding", "the row is not UTF-8")
_BLOCK: Final = 1024 * 1024

_Read: TypeAlias = tuple[Mapping[str, Any], str | Refused]
ReadLine: TypeAlias = Callable[[bytes], _Read | None]
"""Reads a line without its end; None: it holds no row."""


def json_reader(text_field: str) -> ReadLine:
    """Return what reads a line of JSON Lines; values stay as they are written."""
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    decode_text = msgspec.json.Decoder(str).decode

    def read(line: bytes) -> _Read | None:
        if not line or line.isspace():
            return None
        try:
            # Values that are not looked into are not checked by the decoder.
            line.decode()
            columns = decode(line)
        except UnicodeDecodeError:
            return {}, _NO_UTF8
        except (msgspec.DecodeError, RecursionError) as error:
            return {}, Refused("invalid_json", f"not an object in JSON: {error}")
        raw = columns.get(text_field)
        if raw is None:
            return columns, Refused("no_text", f"there is no field {text_field}")
        try:
            return columns, decode_text(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return columns, Refused("no_text", f"the field {text_field} is not a string of characters")

    return read


def plain_reader(text_field: str) -> ReadLine:
    """Return what reads a line of plain text: the whole line is the text."""

    def read(line: bytes) -> _Read:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return {}, _NO_UTF8
        return {text_field: text}, text

    return read


class _File:
    """An input and which of its rows are wanted: those that start between two offsets."""

    def __init__(self, path: Path, part: Part) -> None:
        self.path = path
        self.low, self.high = 0, 0
        self.opened: Input | None = None
        if path != STANDARD:
            self.low, self.high = part.bounds(decompressed_size(path) if part.count > 1 else path.stat().st_size)
        self.bounded = part.count > 1

    def open(self) -> Input:
        self.close()
        self.opened = open_input(self.path)
        return self.opened

    def fraction(self, offset: int) -> float | None:
        if self.path == STANDARD or self.opened is None or self.high <= self.low:
            return None
        # Of a compressed file, the place in the file itself is what its size can be compared with.
        place = offset if self.bounded else self.opened.raw.tell()
        return min(1.0, max(0.0, (place - self.low) / (self.high - self.low)))

    def close(self) -> None:
        if self.opened is not None and self.path != STANDARD:
            self.opened.close()
        self.opened = None


class LineSource:
    """An input with one row a line."""

    def __init__(self, path: Path, read: ReadLine, *, names: Sequence[str] | None, part: Part = WHOLE) -> None:
        self.names = names
        self._file = _File(path, part)
        self._read = read
        self._offset = 0

    def rows(self, begin: Position) -> Iterator[Row]:
        """Read on from there."""
        file, opened = self._file, self._file.open()
        place = self._go_to(opened, begin)
        readline, read = opened.data.readline, self._read
        while not (file.bounded and place.offset >= file.high):
            raw = readline(MAX_ROW_BYTES + 1)
            if not raw:
                return
            start, size = place, len(raw)
            found: _Read | None
            if size > MAX_ROW_BYTES and not raw.endswith(b"\n"):
                size += _skip_line(readline)
                found = {}, _TOO_LONG
            else:
                line = raw.rstrip(b"\r\n")
                found = read(line.removeprefix(_BOM) if not start.offset else line)
            place = Position(start.offset + size, start.line + 1)
            self._offset = place.offset
            if found is not None:
                yield Row(*found, start, place)

    def fraction(self) -> float | None:
        """Tell how much of the input has been read."""
        return self._file.fraction(self._offset)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _go_to(self, opened: Input, begin: Position) -> Position:
        low = self._file.low
        if begin.offset or not low:
            opened.skip_to(begin.offset)
            return begin
        # The line that reaches over the bound belongs to the part before.
        opened.skip_to(low - 1)
        return Position(low - 1 + _skip_line(opened.data.readline))


class TableSource:
    """An input of comma- or tab-separated values, whose first row names the columns."""

    names: Sequence[str]

    def __init__(self, path: Path, text_field: str, *, tabs: bool, part: Part = WHOLE) -> None:
        r"""Read the header.

        Args:
            path: the file.
            text_field: the column that holds the texts.
            tabs: tabs part the values and nothing quotes them, as in text/tab-separated-values; else RFC 4180.
            part: which of the rows are wanted.

        Raises:
            UsageError: there is no header, or it lacks the column.
        """
        csv.field_size_limit(MAX_ROW_BYTES)  # of the whole process: Python knows no other
        self._file = _File(path, part)
        self._tabs = tabs
        self._lines = _Lines(self._file.open(), Position())
        try:
            self.names = self._header(path, text_field)
        except BaseException:
            self.close()
            raise
        self._text = self.names.index(text_field)
        self._first = self._lines.place

    def rows(self, begin: Position) -> Iterator[Row]:
        """Read on from there."""
        begin = max(begin, self._first)
        if begin != self._lines.place:
            opened = self._file.open()
            opened.skip_to(begin.offset)
            self._lines = _Lines(opened, begin)
        lines, reader, file = self._lines, self._reader(), self._file
        count = len(self.names)
        while True:
            start = lines.place
            if file.bounded and start.offset >= file.high:
                return
            fields = self._next(reader)
            if fields is None:
                return
            # Where rows begin is known only to who has read those before.
            if fields == [] or start.offset < file.low:
                continue
            if isinstance(fields, Refused):
                yield Row({}, fields, start, lines.place)
            elif len(fields) != count:
                refused = Refused("wrong_columns", f"the row has {len(fields)} columns, the header {count}")
                yield Row({}, refused, start, lines.place)
            else:
                yield Row(dict(zip(self.names, fields, strict=True)), fields[self._text], start, lines.place)

    def fraction(self) -> float | None:
        """Tell how much of the input has been read."""
        return self._file.fraction(self._lines.place.offset)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _header(self, path: Path, text_field: str) -> list[str]:
        header = self._next(self._reader())
        if not isinstance(header, list) or not header:
            msg = f"{path} has no header that names its columns"
            raise UsageError(msg)
        if len(set(header)) < len(header):
            msg = f"{path} has two columns of one name: {', '.join(header)}"
            raise UsageError(msg)
        if text_field not in header:
            msg = f"{path} has no column {text_field}; --text-field names one of: {', '.join(header)}"
            raise UsageError(msg)
        return header

    def _reader(self) -> Iterator[list[str]]:
        if self._tabs:
            return csv.reader(self._lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(self._lines, strict=True)

    def _next(self, reader: Iterator[list[str]]) -> list[str] | Refused | None:
        self._lines.begin_row()
        try:
            fields = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            return Refused("invalid_csv", f"not as RFC 4180 has it: {error}")
        return fields if self._lines.sound else _NO_UTF8


class _Lines:
    """Decoded lines for Python's CSV reader, which asks for no more of them than a row has.

    Attributes:
        place: the one after the last line.
        sound: whether all lines of this row were UTF-8.
    """

    def __init__(self, opened: Input, place: Position) -> None:
        self.place = place
        self.sound = True
        self._readline = opened.data.readline
        self._row = place

    def begin_row(self) -> None:
        self.sound = True
        self._row = self.place

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = self._readline(MAX_ROW_BYTES + 1)
        if not raw:
            raise StopIteration
        offset, line = self.place
        self.place = Position(offset + len(raw), line + 1)
        if self.place.offset - self._row.offset > MAX_ROW_BYTES:
            msg = (
                f"the row that begins in line {self._row.line + 1} has more than {MAX_ROW_BYTES} bytes: "
                "is there a quote that is not closed?"
            )
            raise OfflineError(msg)
        try:
            return (raw.removeprefix(_BOM) if not offset else raw).decode()
        except UnicodeDecodeError:
            self.sound = False
            return raw.decode(errors="replace")


def _skip_line(readline: Callable[[int], bytes]) -> int:
    """Read to the end of a line, and return how many bytes that were."""
    size = 0
    while block := readline(_BLOCK):
        size += len(block)
        if block.endswith(b"\n"):
            break
    return size
