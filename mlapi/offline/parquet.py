"""Reads and writes Parquet; what is written is one file a window, and one whole file in the end."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import OfflineError, Position, Ranking, Refused, Row, UsageError
from mlapi.offline.progress_file import sync_folder
from mlapi.offline.shards import WHOLE, Part
from mlapi.offline.text_output import open_locked

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    _MSG = "Parquet needs the package pyarrow: pip install 'mlapi[bulk]'"
    raise OfflineError(_MSG) from error

_NO_TEXT: Final = Refused("no_text", "the text is null")


class ArrowRow(Mapping[str, Any]):
    """A row of a batch; its values are made into Python's only when they are asked for."""

    __slots__ = ("batch", "index")

    def __init__(self, batch: Any, index: int) -> None:  # noqa: ANN401  pyarrow has no types
        self.batch = batch
        self.index = index

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  likewise
        return self.batch.column(name)[self.index].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.schema.names)

    def __len__(self) -> int:
        return len(self.batch.schema.names)


class ParquetSource:
    """An input in Parquet. The offset of a position is the number of the next row."""

    names: Sequence[str]

    def __init__(self, path: Path, text_field: str, *, batch_rows: int, part: Part = WHOLE) -> None:
        """Read the schema.

        Raises:
            UsageError: it is not Parquet, or lacks the column.
        """
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            msg = f"{path} is not a Parquet file: {error}"
            raise UsageError(msg) from error
        self.schema = self._file.schema_arrow
        self.names = self.schema.names
        if text_field not in self.names:
            msg = f"{path} has no column {text_field}; --text-field names one of: {', '.join(self.names)}"
            raise UsageError(msg)
        kind = self.schema.field(text_field).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            msg = f"the column {text_field} of {path} holds {kind}, not strings"
            raise UsageError(msg)
        self._text_field = text_field
        self._batch_rows = batch_rows
        self._low, self._high = part.bounds(self._file.metadata.num_rows)
        self._place = self._low

    def rows(self, begin: Position) -> Iterator[Row]:
        """Read on from there, beginning with the row group that holds it."""
        wanted = max(begin.offset, self._low)
        groups, first = [], 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if first + count <= wanted:
                first += count
            else:
                groups.append(group)
        place = Position(wanted, wanted)
        for batch in self._file.iter_batches(self._batch_rows, row_groups=groups) if groups else ():
            texts = batch.column(self._text_field)
            for index in range(max(0, wanted - first), len(batch)):
                if place.offset >= self._high:
                    return
                text = texts[index].as_py()
                start, place = place, Position(place.offset + 1, place.line + 1)
                self._place = place.offset
                yield Row(ArrowRow(batch, index), _NO_TEXT if text is None else text, start, place)
            first += len(batch)

    def fraction(self) -> float | None:
        """Tell how much of the input has been read."""
        return (self._place - self._low) / (self._high - self._low) if self._high > self._low else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetSink:
    """A Parquet file. Its length is the number of windows, each a file of its own until all are joined."""

    def __init__(self, path: Path, shape: AnswerShape, *, keep: Sequence[str], schema: Any | None = None) -> None:  # noqa: ANN401  pyarrow has no types
        """Prepare.

        Args:
            path: the file.
            shape: the columns of the answer.
            keep: which columns of the input are written, in this order.
            schema: of the input, if that is Parquet; else all columns hold strings.
        """
        self._path = path
        self._parts = path.with_name(f"{path.name}.parts")
        self._shape = shape
        self._keep = keep
        kept = [schema.field(name) if schema is not None else pa.field(name, pa.string()) for name in keep]
        self._kept_schema = pa.schema(kept)
        label, score = pa.string(), pa.float32()
        kinds = (label, score) if shape.single else (pa.list_(pa.struct([("label", label), ("score", score)])),)
        self._answer_schema = pa.schema(list(zip(shape.names, kinds, strict=True)))
        self._schema = pa.schema([*kept, *self._answer_schema])
        self._rows: list[tuple[Mapping[str, Any], Ranking | None]] = []
        self._count = 0
        self._lock: BinaryIO | None = None

    def open(self, length: int) -> None:
        """Remove the windows beyond `length`."""
        self._parts.mkdir(parents=True, exist_ok=True)
        self._lock = open_locked(self._parts / "lock")
        for file in self._parts.iterdir():
            if file.name != "lock" and not (file.stem.isdigit() and int(file.stem) < length):
                file.unlink()
        for number in range(length):
            if not self._part(number).is_file():
                msg = f"{self._part(number)} of an earlier run is missing; --restart begins anew"
                raise OfflineError(msg)
        self._count = length

    def add(self, columns: Mapping[str, Any], answer: Ranking | None) -> None:
        """Append a row to the window."""
        self._rows.append((columns, answer))

    def commit(self) -> int:
        """Write the window as a file, and return how many there are."""
        if self._rows:
            answers = [self._shape.columns(answer) for _, answer in self._rows]
            table = pa.Table.from_arrays(
                [*self._kept().columns, *pa.Table.from_pylist(answers, schema=self._answer_schema).columns],
                schema=self._schema,
            )
            draft = self._parts / "draft"
            pq.write_table(table, draft)
            _to_disk(draft, self._part(self._count))
            self._rows = []
            self._count += 1
        return self._count

    def finish(self) -> None:
        """Join the windows, one row group each."""
        draft = self._path.with_name(f"{self._path.name}.draft")
        with pq.ParquetWriter(draft, self._schema) as writer:
            for number in range(self._count):
                writer.write_table(pq.read_table(self._part(number)))
        _to_disk(draft, self._path)

    def close(self) -> None:
        """Let others write it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def tidy(self) -> None:
        """Remove the files of the windows."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def _kept(self) -> Any:  # noqa: ANN401  pyarrow has no types
        """Return the kept columns of the window, in the types that they had."""
        if not self._keep:
            return pa.table({})
        pieces: list[Any] = []
        # By identity: comparing batches would compare what is in them.
        for _, group in groupby((columns for columns, _ in self._rows), lambda row: id(_batch(row))):
            together = list(group)
            batch = _batch(together[0])
            if batch is None:
                values = [{name: row.get(name) for name in self._keep} for row in together]
                pieces.append(pa.Table.from_pylist(values, schema=self._kept_schema))
            else:
                places = pa.array([row.index for row in together if isinstance(row, ArrowRow)])
                taken = batch.select(list(self._keep)).take(places)
                pieces.append(pa.Table.from_batches([taken], schema=self._kept_schema))
        return pa.concat_tables(pieces).combine_chunks()

    def _part(self, number: int) -> Path:
        return self._parts / f"{number:08}.parquet"


def _batch(row: Mapping[str, Any]) -> Any:  # noqa: ANN401  pyarrow has no types
    """Return the batch that a row is part of; None for a row of another format."""
    return row.batch if isinstance(row, ArrowRow) else None


def _to_disk(draft: Path, path: Path) -> None:
    """Give a file that was written its name, once the disk has it."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
