"""Writes JSON Lines, CSV, TSV and plain text, a window at a time, so that it can be cut back to any earlier window."""

import csv
import fcntl
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec

from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import OfflineError, Ranking, UsageError
from mlapi.offline.compressed import STANDARD, compressor

Render: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], bytes]
"""Makes a line of the kept columns and those of the answer.

Raises ValueError where a format cannot hold a value.
"""

_UNQUOTED: Final = ("\t", "\n", "\r")


def json_line(kept: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
    """Write a line of JSON Lines; values that came from JSON are written as they were.

    Raises:
        UsageError: a column of the input has the name of one of the answer's.
    """
    if not answer.keys().isdisjoint(kept):
        raise UsageError(taken(kept.keys() & answer.keys()))
    return msgspec.json.encode({**kept, **answer}) + b"\n"


def table_line(names: Sequence[str], *, tabs: bool) -> Render:
    """Return what writes a line of CSV, as RFC 4180 has it, or of TSV, which can hold neither tabs nor line breaks."""
    buffer = io.StringIO(newline="")
    write = csv.writer(buffer, lineterminator="\n").writerow

    def render(kept: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
        values = [_cell(answer[name] if name in answer else kept.get(name)) for name in names]
        if tabs:
            if any(mark in value for value in values for mark in _UNQUOTED):
                msg = "a tab or a line break cannot be written as TSV"
                raise ValueError(msg)
            return ("\t".join(values) + "\n").encode()
        buffer.seek(0)
        buffer.truncate()
        write(values)
        return buffer.getvalue().encode()

    return render


def label_line(name: str) -> Render:
    """Return what writes the label alone; an empty line where there is none."""

    def render(_: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
        return f"{answer[name] or ''}\n".encode()

    return render


def taken(names: "set[str] | frozenset[str]") -> str:
    """Say that columns of the input have the names of the answer's."""
    return (
        f"the input has a column {', '.join(sorted(names))} itself: leave it out with --keep, or rename those of the "
        "answer with --prefix"
    )


class TextSink:
    """A file of lines."""

    def __init__(
        self, path: Path, render: Render, shape: AnswerShape, *, keep: Sequence[str] | None, header: bytes = b""
    ) -> None:
        """Prepare.

        Args:
            path: the file, or `-` for standard output; its suffix says how it is compressed.
            render: makes a line.
            shape: the columns of the answer.
            keep: which columns of the input are written, in this order; None: all.
            header: what comes before the first line.
        """
        self._path = path
        self._render = render
        self._shape = shape
        self._keep = keep
        self._header = header
        self._compress = compressor(path)
        self._file: BinaryIO | None = None
        self._lines: list[bytes] = []
        self._answers: dict[int, tuple[Ranking | None, Mapping[str, Any]]] = {}

    def open(self, length: int) -> None:
        """Cut off all beyond `length`, and go on there."""
        if self._path == STANDARD:
            self._file = sys.stdout.buffer
        else:
            self._file = open_locked(self._path)
            cut(self._file, length, self._path)
        if not length:
            self._lines = [self._header]

    def add(self, columns: Mapping[str, Any], answer: Ranking | None) -> None:
        """Append a row to the window."""
        keep = self._keep
        kept = columns if keep is None else {name: columns[name] for name in keep if name in columns}
        # Equal texts have the same answer, which is kept here so that no other object can get its identity.
        known = self._answers.get(id(answer))
        if known is None:
            known = self._answers[id(answer)] = (answer, self._shape.columns(answer))
        self._lines.append(self._render(kept, known[1]))

    def commit(self) -> int:
        """Write the window, and return the file's length when the disk has it."""
        file = self._opened()
        if self._lines:
            file.write(self._compress(b"".join(self._lines)))
        self._lines, self._answers = [], {}
        file.flush()
        if self._path == STANDARD:
            return 0
        os.fsync(file.fileno())
        return file.tell()

    def finish(self) -> None:
        """It is a whole file after each window."""

    def tidy(self) -> None:
        """There is nothing else."""

    def close(self) -> None:
        """Close the file, and with it the lock."""
        if self._file is not None and self._path != STANDARD:
            self._file.close()
        self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            msg = "not open"
            raise RuntimeError(msg)
        return self._file


def open_locked(path: Path) -> BinaryIO:
    """Open a file for writing, make it if need be, and keep other runs out of it.

    Raises:
        OfflineError: another run has it open.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        msg = f"another process is writing {path}"
        raise OfflineError(msg) from None
    except OSError:
        # File systems that know no locks are written without one.
        return file
    return file


def cut(file: BinaryIO, length: int, path: Path) -> None:
    """Cut a file to a length, and go to its end.

    Raises:
        OfflineError: it is shorter.
    """
    size = file.seek(0, os.SEEK_END)
    if size < length:
        msg = f"{path} has {size} bytes, and an earlier run wrote {length}: it was changed since; --restart begins anew"
        raise OfflineError(msg)
    file.truncate(length)
    file.seek(length)


def _cell(value: object) -> str:
    """Write a value for a table: strings as they are, nothing as nothing, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, msgspec.Raw):
        written = bytes(value)
        if written[:1] == b'"':
            return msgspec.json.decode(written, type=str)
        return "" if written == b"null" else written.decode()
    return msgspec.json.encode(value).decode()
