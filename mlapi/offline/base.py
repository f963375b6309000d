"""What the parts of a bulk run agree on: rows, what is said of a text, and the protocols of their implementations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

MAX_ROW_BYTES: Final = 16 * 1024 * 1024
"""A longer row is refused: rows are held whole, and memory is bounded."""


class OfflineError(Exception):
    """The run cannot go on; the message says why and what to do."""


class UsageError(OfflineError):
    """The run was asked for in a way that makes no sense for this input and output."""


class Refused(NamedTuple):
    """Why a row has no answer: a stable code, and words for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the model says of one text: labels and their scores, both by falling score."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    truncated: bool = False


Answered: TypeAlias = Ranking | Refused


class Columns(Protocol):
    """The columns of one row, in their order."""

    def __iter__(self) -> Iterator[str]:
        """Name them."""

    def __getitem__(self, name: str, /) -> Any:  # noqa: ANN401  values have the types of their file
        """Return the value of one."""


class Position(NamedTuple):
    """A place between two rows of an input.

    Attributes:
        offset: of the first byte after the last row, decompressed; for Parquet the number of the next row.
        line: lines before it, as far as the run that began there has counted them; for Parquet, rows.
    """

    offset: int = 0
    line: int = 0


class Row(NamedTuple):
    """One row of an input.

    Attributes:
        columns: by name; none if the row could not be read.
        text: what is to be classified, or why there is none.
        start: the place before it.
        end: the place after it.
    """

    columns: Mapping[str, Any]
    text: str | Refused
    start: Position
    end: Position


class Source(Protocol):
    """An input that can be read from any place between two rows."""

    @property
    def names(self) -> Sequence[str] | None:
        """The columns, where the format fixes them for all rows; else None."""

    def rows(self, begin: Position) -> Iterator[Row]:
        """Read on from there, which is the start or an `end` of a row."""

    def fraction(self) -> float | None:
        """Tell how much of the input has been read; None where nobody knows."""

    def close(self) -> None:
        """Close the file."""


class Sink(Protocol):
    """An output that grows by windows, and can be cut back to what an earlier window left."""

    def open(self, length: int) -> None:
        """Begin where an earlier run stopped: cut off all beyond `length`, which `commit` returned, or 0.

        Raises:
            OfflineError: it is shorter than that, or another process writes it.
        """

    def add(self, columns: Mapping[str, Any], answer: Ranking | None) -> None:
        """Append a row to the window; without an answer, the columns that would hold it are empty.

        Raises:
            ValueError: the row cannot be written in this format; nothing was appended.
        """

    def commit(self) -> int:
        """Write the window, and return the new length when the disk has it."""

    def finish(self) -> None:
        """Make a whole file of it."""

    def tidy(self) -> None:
        """Remove what only an unfinished run needs, once it is written down that this one has finished."""

    def close(self) -> None:
        """Let go of the file."""


class Answerer(Protocol):
    """What knows the answers: a model in this process, or a service.

    Attributes:
        digest: the model digest.
        unique: how many distinct texts were asked for, each counted once a window.
        cached: how many of those were known to a cache.
    """

    digest: str
    unique: int
    cached: int

    def answer(self, texts: Sequence[str]) -> list[Answered]:
        """Answer texts in order; equal ones get the same object.

        Raises:
            OfflineError: it cannot be done now, for none of the texts.
        """

    def close(self) -> None:
        """Release what is held."""


Say: TypeAlias = Callable[[str], None]
"""Tells the user something."""
