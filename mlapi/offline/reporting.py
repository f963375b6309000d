"""Shows how a run gets on: a bar on a terminal, else lines, else JSON, else nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TextIO, TypeAlias

import click
import msgspec

from mlapi.offline.job import Count

Style: TypeAlias = Literal["auto", "plain", "json", "none"]

_EVERY_S: Final = 10.0
_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a run.

    Attributes:
        rows: rows that have been read, those of earlier runs included.
        refused: those without an answer.
        truncated: texts that were cut to the model's maximum.
        unique: distinct texts that this run asked for, each counted once a window.
        cached: how many of them were in a cache.
        seconds: since this run began.
        rows_per_s: rows that this run has read, by the second.
        fraction: share of the input that has been read; None where nobody knows.
        left_s: seconds that the rest will take; None where nobody knows.
    """

    rows: int
    refused: int
    truncated: int
    unique: int
    cached: int
    seconds: float
    rows_per_s: float
    fraction: float | None
    left_s: float | None

    def sentence(self) -> str:
        """Say it for people."""
        share = f"{self.cached / self.unique:.0%} of them in a cache" if self.unique else "nothing asked"
        parts = [f"{self.rows} rows", f"{self.rows_per_s:.0f} rows/s", f"{self.unique} distinct texts, {share}"]
        if self.fraction is not None:
            parts.insert(1, f"{self.fraction:.1%}")
        if self.refused:
            parts.append(f"{self.refused} refused")
        if self.truncated:
            parts.append(f"{self.truncated} truncated")
        if self.left_s is not None:
            parts.append(f"{self.left_s:.0f} s left")
        return ", ".join(parts)


class Asked(Protocol):
    """What counts the texts that were asked for, as an `Answerer` does."""

    unique: int
    cached: int


class Reporter:
    """Tells of one run."""

    def __init__(self, style: Style, asked: Asked, *, stream: TextIO, clock: Callable[[], float]) -> None:
        """Begin to count.

        Args:
            style: how; `auto` is a bar on a terminal, else lines.
            asked: counts distinct texts.
            stream: where to.
            clock: tells seconds.
        """
        self._style = style
        self._asked = asked
        self._stream = stream
        self._clock = clock
        self._begin: int | None = None
        self._before = (asked.unique, asked.cached)
        self._started = self._last = clock()
        self._fraction_before: float | None = None
        self._bar: Any = None  # one of click's, whose class is not public

    def __call__(self, count: Count) -> None:
        """Tell of a window that was written; the first time, of what earlier runs have done."""
        if self._begin is None:
            self._begin = count.rows
            return
        figures = self._figures(count)
        if self._style == "auto" and self._stream.isatty():
            self._draw(figures)
            return
        if self._style == "none" or self._clock() - self._last < _EVERY_S:
            return
        self._last = self._clock()
        self._tell(figures)

    def end(self, count: Count) -> None:
        """Tell of the whole run."""
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None
        if self._style != "none":
            self._tell(self._figures(count))

    def _figures(self, count: Count) -> Figures:
        seconds = self._clock() - self._started
        rows = count.rows - (self._begin or 0)
        if self._fraction_before is None:
            self._fraction_before = count.fraction
        left = None
        done = (count.fraction or 0.0) - (self._fraction_before or 0.0)
        if count.fraction is not None and 0.0 < count.fraction < 1.0 and done > 0.0:
            left = seconds * (1.0 - count.fraction) / done
        unique, cached = self._before
        return Figures(
            rows=count.rows,
            refused=count.refused,
            truncated=count.truncated,
            unique=self._asked.unique - unique,
            cached=self._asked.cached - cached,
            seconds=seconds,
            rows_per_s=rows / seconds if seconds > 0 else 0.0,
            fraction=count.fraction,
            left_s=left,
        )

    def _tell(self, figures: Figures) -> None:
        if self._style == "json":
            self._stream.write(msgspec.json.encode(figures).decode() + "\n")
        else:
            self._stream.write(f"mlapi: {figures.sentence()}\n")
        self._stream.flush()

    def _draw(self, figures: Figures) -> None:
        if self._bar is None:
            self._bar = click.progressbar(
                length=_STEPS, file=self._stream, show_eta=figures.fraction is not None, width=24
            )
        self._bar.label = f"{figures.rows} rows, {figures.rows_per_s:.0f}/s"
        self._bar.update(max(0, round((figures.fraction or 0.0) * _STEPS) - self._bar.pos))
