"""What is asked of mlapi: the lines of the design's table, each with the naive service's figure and ours."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks.results import MACHINE, Table

OURS: Final = "mlapi"
BASE: Final = "naive"

Figure: TypeAlias = Callable[[Table, str], float | None]
"""What a peer reached; None if it was not measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """One line.

    Attributes:
        work: what is done.
        figure: what a peer reached.
        unit: of that figure.
        wanted: what is asked for.
        against: the peer that ours is divided by; empty if the figure itself is what is asked for.
        lower: whether a smaller figure is the better one.
    """

    work: str
    figure: Figure
    unit: str
    wanted: float
    against: str = ""
    lower: bool = False

    def reached(self, table: Table) -> float | None:
        """Return what is to be compared with `wanted`: our figure, or how many times better it is than another's."""
        ours = self.figure(table, OURS)
        if not self.against or ours is None:
            return ours
        theirs = self.figure(table, self.against)
        if not theirs or not ours:
            return None
        return theirs / ours if self.lower else ours / theirs

    def met(self, reached: float) -> bool:
        """Whether that is enough."""
        return reached < self.wanted if self.lower and not self.against else reached >= self.wanted

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        sign = "<" if self.lower and not self.against else "≥"
        return f"{sign} {self.wanted:g} {'x ' + self.against if self.against else self.unit}"


def _median(row: str, measure: str) -> Figure:
    def figure(table: Table, peer: str) -> float | None:
        found = table.whole(peer, row, measure)
        return found.median if found else None

    return figure


def _of_hello(row: str, limit: str = "hello") -> Figure:
    def figure(table: Table, peer: str) -> float | None:
        ours, bare = table.whole(peer, row, "requests_per_s"), table.whole("hello", limit, "requests_per_s")
        return 100 * ours.median / bare.median if ours and bare else None

    return figure


def _of_hit(row: str) -> Figure:
    def figure(table: Table, peer: str) -> float | None:
        ours, plain = table.whole(peer, row, "requests_per_s"), table.whole(peer, "hit", "requests_per_s")
        return 100 * ours.median / plain.median if ours and plain else None

    return figure


def _of_peak(row: str) -> Figure:
    def figure(table: Table, peer: str) -> float | None:
        work = table.whole(peer, row, "needed_gflops")
        # Without instructions for int8, products in fp32 may be the faster ones.
        peaks = [found.high for precision in ("int8", "fp32") if (found := table.get(MACHINE, "peak", precision))]
        return 100 * work.median / max(peaks) if work and peaks else None

    return figure


def better_mixed(table: Table, peer: str) -> float | None:
    """Return a peer's better rate of mixed texts: one a request, or 32."""
    found = [summary.median for row in ("mixed", "mixed-32") if (summary := table.whole(peer, row, "texts_per_s"))]
    return max(found, default=None)


TARGETS: Final = (
    Target("hit in L1: 2 texts, 64 connections, of bare uvicorn's rate", _of_hello("hit"), "%", 80),
    Target("the same, p99", _median("hit", "p99_ms"), "ms", 5, lower=True),
    Target("the same, bodies that do not repeat", _of_hello("hit-fresh"), "%", 80),
    Target("the same, of bare uvicorn's rate with the same POST", _of_hello("hit-fresh", "hello-post"), "%", 80),
    Target("the same, with an id that a proxy adds to each", _of_hello("hit-proxied"), "%", 120),
    Target("the same, with API keys, of the rate without them", _of_hit("hit-keys"), "%", 95),
    Target("the same, with a quota, of the rate without keys", _of_hit("hit-quota"), "%", 95),
    Target("hit in L1, as TEI's clients ask, of bare uvicorn's rate", _of_hello("hit-tei"), "%", 60),
    Target("the same, as the Open Inference Protocol's", _of_hello("hit-oip"), "%", 60),
    Target("hit in L2, of bare uvicorn's rate", _of_hello("hit-l2"), "%", 60),
    Target("the same, bodies that do not repeat", _of_hello("hit-l2-fresh"), "%", 60),
    Target("bulk request of 1 000 known texts", _median("bulk-known", "requests_per_s"), "requests/s", 100, BASE),
    Target("miss, one text of 16 tokens", _median("miss-16", "p50_ms"), "ms", 7, BASE, lower=True),
    Target("miss, one text of 128 tokens", _median("miss-128", "p50_ms"), "ms", 4.5, BASE, lower=True),
    Target("misses of mixed length, saturated, the better of two ways to ask", better_mixed, "texts/s", 7, BASE),
    Target("the same", better_mixed, "texts/s", 3, "infinity"),
    Target("useful arithmetic of the peak of matrix products: mixed lengths", _of_peak("mixed"), "%", 60),
    Target("the same, 32 texts a request", _of_peak("mixed-32"), "%", 60),
    Target("the same, 128 tokens throughout", _of_peak("uniform-128"), "%", 60),
    Target("process start to first answer", _median("resources", "first_answer_s"), "s", 1.5, lower=True),
    Target("resident memory, steady", _median("resources", "steady_mib"), "MiB", 300, lower=True),
    Target("resident memory, peak while loading", _median("resources", "loaded_peak_mib"), "MiB", 400, lower=True),
)


def number(value: float) -> str:
    """Write a figure with three significant digits, thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def render(table: Table) -> Iterator[str]:
    """Yield the table's lines."""
    yield "| work | naive | mlapi | reached | target | |"
    yield "|---|---|---|---|---|---|"
    for target in TARGETS:
        cells = [_with_unit(target.figure(table, peer), target.unit) for peer in (BASE, OURS)]
        reached = target.reached(table)
        if reached is None:
            yield f"| {target.work} | {' | '.join(cells)} | not measured | {target.asked} | |"
            continue
        verdict = "met" if target.met(reached) else "**missed**"
        shown = f"{number(reached)} x" if target.against else _with_unit(reached, target.unit)
        yield f"| {target.work} | {' | '.join(cells)} | {shown} | {target.asked} | {verdict} |"


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{number(value)} {unit}"
