"""Progress is told on a terminal as a bar, elsewhere in lines, and counts what this run has done."""

import io
import json

import pytest

from mlapi.offline.job import Count
from mlapi.offline.reporting import Reporter, Style
from tests.offline_runs import ByLength


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(style: Style, stream: io.StringIO) -> str:
    """A run that goes on from row 1 000, and reads 1 000 rows each 6 seconds; half of the texts are distinct."""
    clock, answerer = Clock(), ByLength()
    reporter = Reporter(style, answerer, stream=stream, clock=clock)
    reporter(Count(1000, 0, 0, None))
    for window in range(1, 6):
        clock.now = 6.0 * window
        answerer.unique += 500
        answerer.cached += 125
        reporter(Count(1000 + 1000 * window, window, 2 * window, 0.2 * window))
    reporter.end(Count(6000, 5, 10, 1.0))
    return stream.getvalue()


def test_lines_for_people() -> None:
    first, second, last = told("auto", io.StringIO()).splitlines()
    assert first == (
        "mlapi: 3000 rows, 40.0%, 167 rows/s, 1000 distinct texts, 25% of them in a cache, 2 refused, 4 truncated, "
        "36 s left"
    )
    assert second.startswith("mlapi: 5000 rows, 80.0%, 167 rows/s")
    assert last == (
        "mlapi: 6000 rows, 100.0%, 167 rows/s, 2500 distinct texts, 25% of them in a cache, 5 refused, 10 truncated"
    )


def test_lines_for_machines() -> None:
    lines = [json.loads(line) for line in told("json", io.StringIO()).splitlines()]
    assert [line["rows"] for line in lines] == [3000, 5000, 6000]
    assert lines[-1]["rows_per_s"] == pytest.approx(5000 / 30)


def test_nothing() -> None:
    assert not told("none", io.StringIO())


def test_a_bar_on_a_terminal() -> None:
    drawn = told("auto", Terminal())
    assert "3000 rows, 167/s" in drawn
    assert "100%" in drawn
    assert drawn.splitlines()[-1].startswith("mlapi: 6000 rows")
    assert "\r" not in told("plain", Terminal())
