"""One run: windows of rows are answered, written and made sure of, one after the other."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, TypeAlias

import msgspec

from mlapi.offline.base import Answerer, Columns, OfflineError, Ranking, Refused, Row, Sink, Source
from mlapi.offline.progress_file import Identity, Progress, ProgressFile, finished
from mlapi.offline.text_output import cut

OnError: TypeAlias = Literal["null", "skip", "fail"]

WINDOW_CHARS: Final = 8 * 1024 * 1024
"""So many characters of text end a window before it has all its rows."""


class Count(NamedTuple):
    """What a run has done so far, the runs that it continues included.

    Attributes:
        rows: rows read.
        refused: those without an answer.
        truncated: texts that were cut to the model's maximum.
        fraction: how much of the input that is; None where nobody knows.
    """

    rows: int
    refused: int
    truncated: int
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """What a run consists of.

    Attributes:
        source: where rows come from.
        sink: where they go.
        errors: the file that refused rows are listed in; None: they are told to `complain`.
        complain: told of refused rows where there is no such file.
        id_field: the column that names a row in that list; empty: none.
        on_error: what a row without an answer is in the output: a row with empty columns, or none; or the end.
        window: rows that are answered together.
        identity: of the run.
        file: where its progress is kept; None: nowhere, and the run cannot be continued.
        input_identity: looks at the input anew; None where that is not a file.
    """

    source: Source
    sink: Sink
    errors: Path | None
    complain: Callable[[str], None]
    id_field: str
    on_error: OnError
    window: int
    identity: Identity
    file: ProgressFile | None
    input_identity: Callable[[], tuple[int, int, str]] | None = None

    def run(self, answerer: Answerer, report: Callable[[Count], None], *, restart: bool) -> Count:
        """Do what is left to do.

        Args:
            answerer: answers texts.
            report: told at the beginning, and after each window.
            restart: whether to begin anew, whatever is there.

        Raises:
            OfflineError: it cannot go on. What was made sure of stays, and a later run continues there.
        """
        progress = Progress(self.identity) if self.file is None else self.file.begin(self.identity, restart=restart)
        report(_count(progress, None))
        if not progress.done:
            errors = _Errors(self.errors, self.complain)
            try:
                self.sink.open(progress.output)
                errors.open(progress.errors)
                progress = self._go_on(progress, answerer, errors, report)
            finally:
                errors.close()
                self.sink.close()
        self.sink.tidy()
        return _count(progress, 1.0)

    def _go_on(
        self, progress: Progress, answerer: Answerer, errors: "_Errors", report: Callable[[Count], None]
    ) -> Progress:
        rows = self.source.rows(progress.position)
        empty = True
        for window in _windows(rows, self.window):
            empty = False
            progress = self._write(window, answerer, errors, progress)
            if self.file is not None:
                self.file.save(progress)
            report(_count(progress, self.source.fraction()))
        if empty and not progress.output:
            progress = replace(progress, output=self.sink.commit())
        if self.input_identity is not None and self.input_identity() != self.identity.input:
            msg = "the input was changed while it was read: the output belongs to neither; --restart begins anew"
            raise OfflineError(msg)
        self.sink.finish()
        progress = finished(progress)
        if self.file is not None:
            self.file.save(progress)
        return progress

    def _write(self, window: list[Row], answerer: Answerer, errors: "_Errors", before: Progress) -> Progress:
        """Answer and write a window; returns what is true once it is written."""
        answered = iter(answerer.answer([row.text for row in window if isinstance(row.text, str)]))
        refused = truncated = 0
        stopped: OfflineError | None = None
        last = before.position
        count = 0
        for row in window:
            answer = next(answered) if isinstance(row.text, str) else row.text
            if isinstance(answer, Ranking):
                try:
                    self.sink.add(row.columns, answer)
                except ValueError as error:
                    answer = Refused("unwritable", str(error))
                else:
                    truncated += answer.truncated
            if isinstance(answer, Refused):
                if self.on_error == "fail":
                    stopped = OfflineError(f"{self._place(row)}: {answer.detail}")
                    break
                refused += 1
                errors.add(row, answer, self.id_field)
                if self.on_error == "null":
                    self._add_empty(row)
            last = row.end
            count += 1
        if stopped is not None:
            raise stopped
        return replace(
            before,
            position=last,
            rows=before.rows + count,
            refused=before.refused + refused,
            truncated=before.truncated + truncated,
            output=self.sink.commit(),
            errors=errors.commit(),
        )

    def _add_empty(self, row: Row) -> None:
        try:
            self.sink.add(row.columns, None)
        except ValueError:
            self.sink.add({}, None)

    def _place(self, row: Row) -> str:
        return f"line {row.start.line + 1}"


class _Errors:
    """The list of refused rows; there is a file only where there are some."""

    def __init__(self, path: Path | None, complain: Callable[[str], None]) -> None:
        self._path = path
        self._complain = complain
        self._length = 0
        self._lines: list[bytes] = []
        self._file: BinaryIO | None = None

    def open(self, length: int) -> None:
        """Cut off what no window that was made sure of has written."""
        self._length = length
        if self._path is not None and length:
            self._begin(self._path)
        elif self._path is not None:
            self._path.unlink(missing_ok=True)

    def add(self, row: Row, refused: Refused, id_field: str) -> None:
        """Append a row."""
        if self._path is None:
            self._complain(f"line {row.start.line + 1}: {refused.detail}")
            return
        named = {"id": _value(row.columns, id_field)} if id_field else {}
        entry = {"line": row.start.line + 1, "offset": row.start.offset, **named, **refused._asdict()}
        self._lines.append(msgspec.json.encode(entry) + b"\n")

    def commit(self) -> int:
        """Write what was added, and return the file's length when the disk has it."""
        if self._path is not None and self._lines:
            file = self._file or self._begin(self._path)
            file.write(b"".join(self._lines))
            file.flush()
            os.fsync(file.fileno())
            self._lines = []
            self._length = file.tell()
        return self._length

    def _begin(self, path: Path) -> BinaryIO:
        """Open the file, and go to the end of what counts."""
        self._file = path.open("r+b" if path.exists() else "w+b")
        cut(self._file, self._length, path)
        return self._file

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _value(columns: Columns, name: str) -> object:
    try:
        return columns[name]
    except KeyError:
        return None


def _count(progress: Progress, fraction: float | None) -> Count:
    return Count(progress.rows, progress.refused, progress.truncated, fraction)


def _windows(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Divide rows into windows; where one ends depends only on the rows in it."""
    window: list[Row] = []
    characters = 0
    for row in rows:
        window.append(row)
        characters += len(row.text) if isinstance(row.text, str) else 0
        if len(window) >= most or characters >= WINDOW_CHARS:
            yield window
            window, characters = [], 0
    if window:
        yield window
