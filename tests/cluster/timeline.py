"""Draws what happened over time as an SVG: panels of lines above one another, and marks where something was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

_WIDTH: Final = 860
_LEFT: Final = 70
_RIGHT: Final = 20
_PANEL: Final = 130
_TITLE: Final = 34
_COLORS: Final = ("#0b6bcb", "#c2410c", "#15803d")
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}.g{stroke:#ddd}.m{stroke:#888;stroke-dasharray:4}"
)

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A name and its points: seconds, value."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one scale, from `low` to `high`."""

    title: str
    low: float
    high: float
    lines: Sequence[Line]


def steps(changes: Sequence[Point], end: float) -> Sequence[Point]:
    """Return the points of a value that stays until it changes."""
    points: list[Point] = []
    for at, value in changes:
        if points:
            points.append((at, points[-1][1]))
        points.append((at, value))
    return [*points, (end, points[-1][1])]


def render(panels: Sequence[Panel], marks: Sequence[tuple[float, str]], end: float) -> str:
    """Return the picture of `end` seconds; each mark is a moment, and what was done then."""
    height = len(panels) * (_PANEL + _TITLE) + 46
    parts = [part for number, panel in enumerate(panels) for part in _panel(panel, number, end)]
    bottom = height - 40
    for at, says in marks:
        x = _x(at, end)
        parts.append(f'<line class="m" x1="{x}" x2="{x}" y1="{_TITLE}" y2="{bottom}"/>')
        parts.append(f'<text x="{x + 4}" y="{bottom}">{escape(says)}</text>')
    parts += [
        f'<text x="{_x(part * end / 6, end)}" y="{height - 12}" text-anchor="middle">{part * end / 6:.0f} s</text>'
        for part in range(7)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _x(at: float, end: float) -> float:
    return round(_LEFT + at / end * (_WIDTH - _LEFT - _RIGHT), 1)


def _panel(panel: Panel, number: int, end: float) -> list[str]:
    top = number * (_PANEL + _TITLE) + _TITLE

    def y(value: float) -> float:
        inside = min(max(value, panel.low), panel.high)
        return round(top + _PANEL * (panel.high - inside) / (panel.high - panel.low), 1)

    parts = [f'<text class="t" x="8" y="{top - 10}">{escape(panel.title)}</text>']
    for quarter in range(0, 5, 2):
        value = panel.low + quarter / 4 * (panel.high - panel.low)
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:g}</text>')
    for line, color in zip(panel.lines, _COLORS, strict=False):
        places = " ".join(f"{_x(at, end)},{y(value)}" for at, value in line.points)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    names = "".join(
        f'<tspan fill="{color}" dx="14">{escape(line.name)}</tspan>'
        for line, color in zip(panel.lines, _COLORS, strict=False)
    )
    return [*parts, f'<text x="{_WIDTH - _RIGHT}" y="{top - 10}" text-anchor="end">{names}</text>']
