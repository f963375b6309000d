"""The record of a run: what was observed, written as JSON, and the medians and spreads over its rounds."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

NOISY: Final = 0.05
"""Foreign share of the processors above which an observation is marked."""

MACHINE: Final = "machine"
"""What stands as the peer where the machine itself was measured."""


class Observation(msgspec.Struct, frozen=True):
    """What one row gave for one peer in one round."""

    peer: str
    row: str
    round: int
    measures: dict[str, float]


class Failure(msgspec.Struct, frozen=True):
    """Why a peer gave nothing for a row, or for any (`row` empty)."""

    peer: str
    row: str
    reason: str


class Record(msgspec.Struct):
    """A whole run."""

    profile: str
    started: str
    machine: dict[str, Any]
    peers: dict[str, str]
    versions: dict[str, list[str]] = msgspec.field(default_factory=dict)
    limits: dict[str, float | str] = msgspec.field(default_factory=dict)
    observations: list[Observation] = msgspec.field(default_factory=list)
    failures: list[Failure] = msgspec.field(default_factory=list)
    # What runs had that do not say it.
    model: str = "DistilBERT, 66 million seeded random weights"


@dataclass(frozen=True, slots=True)
class Summary:
    """A measure over the rounds: median, smallest, largest."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(slots=True)
class Table:
    """The summaries of a record, found by peer, row and measure."""

    record: Record
    _values: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in self.record.observations:
            for name, value in item.measures.items():
                self._values.setdefault((item.peer, item.row, name), []).append(value)

    def get(self, peer: str, row: str, measure: str) -> Summary | None:
        """Return a measure's summary; None if it was not taken."""
        values = self._values.get((peer, row, measure))
        return Summary(median(values), min(values), max(values), len(values)) if values else None

    def whole(self, peer: str, row: str, measure: str) -> Summary | None:
        """Return a measure's summary; None also if requests of the row failed: the rest is not what was asked for."""
        failed = self.get(peer, row, "failed")
        return None if failed and failed.high else self.get(peer, row, measure)

    def reason(self, peer: str, row: str, *, alone: bool = False) -> str | None:
        """Say why a row, or with `alone` only this row, has nothing; None if nothing was tried."""
        rows = {row} if alone else {row, ""}
        found = [item.reason for item in self.record.failures if item.peer == peer and item.row in rows]
        return found[-1] if found else None

    @property
    def noisy(self) -> list[Observation]:
        """Observations during which others used the processors too."""
        return [item for item in self.record.observations if item.measures.get("foreign", 0.0) > NOISY]


def write(record: Record, path: Path) -> None:
    """Write a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(path.read_bytes(), type=Record)
