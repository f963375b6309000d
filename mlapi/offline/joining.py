"""Divides a file among processes whose outputs are joined to what a single process would have written."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from mlapi.offline.base import OfflineError, UsageError
from mlapi.offline.compressed import STANDARD, SUFFIXES, open_input
from mlapi.offline.opening import Options, Pair, errors_of, format_of, open_job
from mlapi.offline.progress_file import ProgressFile, sync_folder
from mlapi.offline.shards import WHOLE, Part

_BLOCK: Final = 1024 * 1024


def divide(source: Path, target: Path, count: int, options: Options, *, restart: bool) -> list[Pair]:
    """Return the parts, in the order in which their outputs make the whole.

    Raises:
        UsageError: input and output cannot be divided and joined, or make no run at all.
        OfflineError: there is an output that these parts have not made.
    """
    if STANDARD in {source, target}:
        msg = "standard input and output cannot be divided"
        raise UsageError(msg)
    if source.is_dir() or target.is_dir():
        msg = "the files of a folder are divided by --shard: only a file's parts are joined"
        raise UsageError(msg)
    if not source.is_file():
        msg = f"there is no file {source}"
        raise UsageError(msg)
    if target.suffix in SUFFIXES or "parquet" in {
        options.format or format_of(source),
        options.output_format or format_of(target),
    }:
        msg = "Parquet and compressed outputs cannot be joined to what one process writes: divide the work by --shard"
        raise UsageError(msg)
    # What is wrong with the columns is said now, before a model is loaded anywhere.
    open_job(Pair(source, target, WHOLE), options, "", _ignore).source.close()
    parts = [Part(index, count) for index in range(count)]
    found = [Pair(source, part.name(target), part) for part in parts]
    if target.exists() and not restart and not all(ProgressFile(pair.target).path.exists() for pair in found):
        msg = f"{target} exists and no run that could be continued has written it; --restart overwrites it"
        raise OfflineError(msg)
    return found


def join(pairs: Sequence[Pair], target: Path, options: Options) -> None:
    """Write the output and the list of refused rows, of those of all parts; either is whole, or as it was before."""
    lists = [errors_of(pair.target) for pair in pairs if errors_of(pair.target).exists()]
    if lists:
        _replace(errors_of(target), _refused(lists, pairs[0].source, options))
    else:
        errors_of(target).unlink(missing_ok=True)
    _replace(target, (block for pair in pairs for block in _blocks(pair.target)))


def _refused(lists: Iterable[Path], source: Path, options: Options) -> Iterator[bytes]:
    """Read the lists; rows that are lines were counted from the beginning of their part."""
    if (options.format or format_of(source)) not in {"jsonl", "txt"}:
        for path in lists:
            yield from _blocks(path)
        return
    opened = open_input(source)
    try:
        line, offset = 1, 0
        for path in lists:
            with path.open("rb") as file:
                for entry in file:
                    values = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
                    start = msgspec.json.decode(values["offset"], type=int)
                    line += _line_ends(opened.data, start - offset)
                    offset = start
                    values["line"] = msgspec.Raw(str(line).encode())
                    yield msgspec.json.encode(values) + b"\n"
    finally:
        opened.close()


def _line_ends(data: BinaryIO, length: int) -> int:
    found = 0
    while length > 0 and (block := data.read(min(length, _BLOCK))):
        found += block.count(b"\n")
        length -= len(block)
    return found


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _replace(path: Path, blocks: Iterable[bytes]) -> None:
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.writelines(blocks)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _ignore(_: str) -> None:
    """Refused rows are listed in files."""
