"""How far a run has come, beside its output, in a file that is whole at any moment."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from mlapi.offline.base import OfflineError, Position

SCHEMA: Final = 1

_START: Final = Position()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run must have in common with the one that it continues.

    Attributes:
        input: size, time of the last change in nanoseconds, and SHA-256 of the first mebibyte.
        model: the model digest.
        options: those that change what is written.
    """

    input: tuple[int, int, str]
    model: str
    options: dict[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        identity: of the run.
        position: in the input.
        rows: rows read up to there.
        refused: how many of them have no answer.
        truncated: how many texts were cut to the model's maximum.
        output: length of the output that belongs to them.
        errors: length of the file of refused rows.
        done: whether that is the end.
        schema: version of this format.
    """

    identity: Identity
    position: Position = _START
    rows: int = 0
    refused: int = 0
    truncated: int = 0
    output: int = 0
    errors: int = 0
    done: bool = False
    schema: int = SCHEMA


class ProgressFile:
    """`OUTPUT.progress`."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.name}.progress")
        self._output = output

    def begin(self, identity: Identity, *, restart: bool) -> Progress:
        """Return how far an earlier run came, or the start of a new one, which is then written down.

        Raises:
            OfflineError: there is an output that does not belong to this run.
        """
        if not restart and self.path.exists():
            found = self._read()
            if differences := _differences(found.identity, identity):
                msg = f"{self._output} was begun with {' and '.join(differences)}; --restart begins anew"
                raise OfflineError(msg)
            return found
        if not restart and self._output.exists():
            msg = f"{self._output} exists and no run that could be continued has written it; --restart overwrites it"
            raise OfflineError(msg)
        start = Progress(identity)
        self.save(start)
        return start

    def save(self, progress: Progress) -> None:
        """Write it down; the disk has it, or what was there before, whatever happens meanwhile."""
        draft = self.path.with_name(f"{self.path.name}.draft")
        with draft.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(progress), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        sync_folder(self.path.parent)

    def _read(self) -> Progress:
        try:
            progress = msgspec.json.decode(self.path.read_bytes(), type=Progress)
        except msgspec.DecodeError as error:
            msg = f"{self.path} is not what a run writes ({error}); --restart begins anew"
            raise OfflineError(msg) from error
        if progress.schema != SCHEMA:
            msg = f"{self.path} was written by another version of mlapi; --restart begins anew"
            raise OfflineError(msg)
        return progress


def finished(progress: Progress) -> Progress:
    """Return the progress of a run at its end."""
    return replace(progress, done=True)


def sync_folder(folder: Path) -> None:
    """See to it that the disk knows the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _differences(before: Identity, now: Identity) -> list[str]:
    """Say what is different, in words."""
    found = []
    if before.input != now.input:
        found.append("an input that has changed since")
    if before.model != now.model:
        found.append(f"the model {before.model} instead of {now.model}")
    names = sorted(name for name in before.options | now.options if before.options.get(name) != now.options.get(name))
    shown = [(name, before.options.get(name), now.options.get(name)) for name in names]
    return found + [f"{name} {_shown(old)} instead of {_shown(new)}" for name, old, new in shown]


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
