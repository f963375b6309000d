"""Builds runs of what the user names: inputs and outputs, their formats and their columns."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import Sink, Source, UsageError
from mlapi.offline.compressed import STANDARD, SUFFIXES, identify
from mlapi.offline.job import Job, OnError
from mlapi.offline.progress_file import Identity, ProgressFile
from mlapi.offline.shards import WHOLE, Part
from mlapi.offline.text_output import TextSink, json_line, label_line, table_line, taken
from mlapi.offline.text_rows import LineSource, TableSource, json_reader, plain_reader

Format: TypeAlias = Literal["jsonl", "csv", "tsv", "txt", "parquet"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_NAMES: Final[dict[str, Format]] = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for, files aside.

    Attributes:
        format: of the input; None: as its name says.
        output_format: likewise.
        text_field: the column that holds the texts.
        id_field: the column that names a row; empty: none.
        keep: columns of the input that are written, too; None: all.
        shape: the columns of the answer.
        on_error: what a row without an answer is in the output.
        window: rows that are answered together.
    """

    format: Format | None
    output_format: Format | None
    text_field: str
    id_field: str
    keep: tuple[str, ...] | None
    shape: AnswerShape
    on_error: OnError
    window: int

    @property
    def kept(self) -> tuple[str, ...] | None:
        """Which columns are written; the one that names a row comes first."""
        if self.keep is None or not self.id_field or self.id_field in self.keep:
            return self.keep
        return (self.id_field, *self.keep)


class Pair(NamedTuple):
    """One input, its output, and which of its rows are wanted."""

    source: Path
    target: Path
    part: Part


def pairs(source: Path, target: Path, part: Part, options: Options, say: Callable[[str], None]) -> list[Pair]:
    """Return the files to read and to write; of a folder, each process takes some of the files.

    Raises:
        UsageError: there is no such input, or the output cannot be what it is named.
    """
    if source == STANDARD or not source.is_dir():
        if source != STANDARD and not source.is_file():
            msg = f"there is no file {source}"
            raise UsageError(msg)
        if STANDARD in {source, target} and part.count > 1:
            msg = "standard input and output cannot be divided"
            raise UsageError(msg)
        if target.is_dir():
            msg = f"{target} is a folder, and {source} is not"
            raise UsageError(msg)
        return [Pair(source, target if target == STANDARD else part.name(target), part)]
    if target == STANDARD or (target.exists() and (not target.is_dir() or target.samefile(source))):
        msg = f"{source} is a folder: the output must be another one"
        raise UsageError(msg)
    found = []
    for file in sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")):
        if options.format is None and format_of(file) is None:
            say(f"{file} is left out: its name does not say what it holds")
        else:
            found.append(file)
    if not found:
        msg = f"there is no file in {source} whose name ends like {', '.join(_NAMES)}"
        raise UsageError(msg)
    names = _output_names(found, options)
    target.mkdir(parents=True, exist_ok=True)
    return [Pair(file, target / names[file], WHOLE) for file in part.deal(found)]


def _output_names(files: Iterable[Path], options: Options) -> dict[Path, str]:
    """Return the name of each file's output.

    Raises:
        UsageError: two have the same, and one would be written over the other.
    """
    names: dict[str, Path] = {}
    for file in files:
        name = _renamed(file.name, options)
        if (other := names.setdefault(name, file)) != file:
            msg = (
                f"the answers to {other.name} and to {file.name} would have one name, {name}: rename one of them, or "
                "take another --output-format"
            )
            raise UsageError(msg)
    return {file: name for name, file in names.items()}


def format_of(path: Path) -> Format | None:
    """Return the format that a name stands for, with or without `.gz` or `.zst`; None: it does not say."""
    plain = Path(path.stem) if path.suffix in SUFFIXES else path
    return _NAMES.get(plain.suffix.lower())


def errors_of(target: Path) -> Path:
    """Return the name of the list of refused rows that belongs to an output."""
    return target.with_name(f"{target.name}.errors.jsonl")


def open_job(pair: Pair, options: Options, model: str, complain: Callable[[str], None]) -> Job:
    """Return the run that answers one input.

    Args:
        pair: what is read and written.
        options: how.
        model: the model digest.
        complain: told of refused rows where there is no file that could list them.

    Raises:
        UsageError: the input does not fit, or the output cannot hold what is asked for.
    """
    given, target, part = pair
    format_ = options.format or format_of(given)
    if format_ is None:
        msg = f"the name of {given} does not say what it holds: --format is one of {', '.join(FORMATS)}"
        raise UsageError(msg)
    written = options.output_format or format_of(target) or (None if target != STANDARD else _like(format_))
    if written is None:
        msg = f"the name of {target} does not say what to write: --output-format is one of {', '.join(FORMATS)}"
        raise UsageError(msg)
    if target != STANDARD:
        if given != STANDARD and target.exists() and target.samefile(given):
            msg = f"{target} is the input as well"
            raise UsageError(msg)
        if not target.parent.is_dir():
            msg = f"there is no folder {target.parent}"
            raise UsageError(msg)
    source = _source(format_, given, options, part)
    try:
        sink = _sink(written, target, options, source, part)
    except BaseException:
        source.close()
        raise
    input_identity = None if given == STANDARD else lambda: identify(given)
    return Job(
        source=source,
        sink=sink,
        errors=None if target == STANDARD else errors_of(target),
        complain=complain,
        id_field=options.id_field,
        on_error=options.on_error,
        window=options.window,
        identity=Identity(
            input_identity() if input_identity else (0, 0, "standard input"),
            model,
            _told(options, format_, written, part),
        ),
        file=None if target == STANDARD else ProgressFile(target),
        input_identity=input_identity,
    )


def _told(
    options: Options, format_: Format, written: Format, part: Part
) -> dict[str, str | int | float | bool | list[str] | None]:
    """Return the options that change what is written."""
    shape = options.shape
    return {
        "--format": format_,
        "--output-format": written,
        "--text-field": options.text_field,
        "--id-field": options.id_field,
        "--keep": None if options.kept is None else list(options.kept),
        "--top": shape.top,
        "--threshold": shape.threshold,
        "--prefix": shape.prefix,
        "--on-error": options.on_error,
        "--window": options.window,
        "--shard": f"{part.index}/{part.count}",
    }


def _like(format_: Format) -> Format:
    """Return what is written to standard output for an input of this format."""
    return "jsonl" if format_ in {"txt", "parquet"} else format_


def _renamed(name: str, options: Options) -> str:
    if options.output_format is None:
        return name
    path = Path(name)
    compressed = path.suffix if path.suffix in SUFFIXES and options.output_format != "parquet" else ""
    plain = path.stem if path.suffix in SUFFIXES else name
    return f"{Path(plain).stem}.{options.output_format}{compressed}"


def _source(format_: Format, path: Path, options: Options, part: Part) -> Source:
    field = options.text_field
    if format_ == "parquet":
        if path == STANDARD:
            msg = "Parquet cannot be read from standard input: its directory is at its end"
            raise UsageError(msg)
        from mlapi.offline.parquet import ParquetSource  # noqa: PLC0415  pyarrow is an extra

        return ParquetSource(path, field, batch_rows=options.window, part=part)
    if format_ == "jsonl":
        return LineSource(path, json_reader(field), names=None, part=part)
    if format_ == "txt":
        return LineSource(path, plain_reader(field), names=(field,), part=part)
    return TableSource(path, field, tabs=format_ == "tsv", part=part)


def _sink(format_: Format, path: Path, options: Options, source: Source, part: Part) -> Sink:
    shape, keep = options.shape, options.kept
    if source.names is not None:
        _check_columns(source.names, options)
        keep = tuple(source.names) if keep is None else keep
    if format_ == "parquet":
        return _parquet_sink(path, shape, keep, source)
    if format_ == "jsonl":
        return TextSink(path, json_line, shape, keep=keep)
    if format_ == "txt":
        if not shape.single:
            msg = "plain text has a label a line: no --all-labels, --top or --threshold"
            raise UsageError(msg)
        return TextSink(path, label_line(shape.names[0]), shape, keep=())
    if keep is None:
        msg = f"rows of JSON may have any columns, those of {format_} are fixed: name them with --keep"
        raise UsageError(msg)
    columns = (*keep, *shape.names)
    render = table_line(columns, tabs=format_ == "tsv")
    header = render({name: name for name in keep}, {name: name for name in shape.names})
    return TextSink(path, render, shape, keep=keep, header=header if not part.index else b"")


def _parquet_sink(path: Path, shape: AnswerShape, keep: tuple[str, ...] | None, source: Source) -> Sink:
    if path == STANDARD or path.suffix in SUFFIXES:
        msg = "Parquet is written to a file, and compressed by itself"
        raise UsageError(msg)
    from mlapi.offline.parquet import ParquetSink, ParquetSource  # noqa: PLC0415  pyarrow is an extra

    schema: Any = source.schema if isinstance(source, ParquetSource) else None
    if source.names is None and keep != ():
        msg = "rows of JSON do not say which types their columns have, as Parquet has to: --keep ''"
        raise UsageError(msg)
    return ParquetSink(path, shape, keep=keep or (), schema=schema)


def _check_columns(names: "Iterator[str] | tuple[str, ...] | list[str] | Any", options: Options) -> None:  # noqa: ANN401
    known = tuple(names)
    for name in (*(options.kept or ()), *filter(None, (options.id_field,))):
        if name not in known:
            msg = f"there is no column {name}; the input has: {', '.join(known)}"
            raise UsageError(msg)
    kept = set(known if options.kept is None else options.kept)
    if clash := kept & set(options.shape.names):
        raise UsageError(taken(clash))
