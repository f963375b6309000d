"""Draws curves and bars of an evaluation as SVG, by hand: the report is one file, and needs no library to be read."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, TypeAlias

from training.measures import Ratio

Points: TypeAlias = Sequence[tuple[float, float]]

_WIDTH: Final = 460
_HEIGHT: Final = 300
_LEFT: Final = 52
_BOTTOM: Final = 44
_TOP: Final = 14
_RIGHT: Final = 14
_COLOURS: Final = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#57606a")
_TICKS: Final = 5
_ROW: Final = 22
_NAMES: Final = 190


def lines(
    series: Mapping[str, Points],
    *,
    x: str,
    y: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] = (0.0, 1.0),
    diagonal: bool = False,
) -> str:
    """Draw one line a series, with a legend below.

    Args:
        series: points by name; a name is shown as it is.
        x: title of the x axis.
        y: title of the y axis.
        x_range: what the x axis spans; None: the points.
        y_range: what the y axis spans.
        diagonal: whether to draw the line where both are equal.
    """
    xs = [point[0] for points in series.values() for point in points]
    left, right = x_range or (min(xs), max(xs))
    right = right if right > left else left + 1.0
    low, high = y_range
    inner = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)

    def place(point: tuple[float, float]) -> str:
        across = _LEFT + inner[0] * (point[0] - left) / (right - left)
        up = _TOP + inner[1] * (1 - (point[1] - low) / (high - low))
        return f"{across:.1f},{up:.1f}"

    parts = []
    for tick in range(_TICKS + 1):
        value, along = low + (high - low) * tick / _TICKS, left + (right - left) * tick / _TICKS
        start, end = place((left, value)), place((right, value))
        parts.append(f'<path class="g" d="M{start} {end}"/>')
        parts.append(_text(start, f"{value:.2g}", dx=-6, dy=4, anchor="end"))
        parts.append(_text(place((along, low)), f"{along:.3g}", dy=16, anchor="middle"))
    if diagonal:
        parts.append(f'<path class="d" d="M{place((low, low))} {place((high, high))}"/>')
    for index, points in enumerate(series.values()):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(map(place, points))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        if len(points) <= 2 * _TICKS + 2:
            parts += [
                f'<circle r="3" fill="{colour}" cx="{at.split(",")[0]}" cy="{at.split(",")[1]}"/>'
                for at in map(place, points)
            ]
    for index, name in enumerate(series):
        up = _HEIGHT + 16 * index + 4
        parts.append(
            f'<rect x="{_LEFT}" y="{up - 9}" width="10" height="10" fill="{_COLOURS[index % len(_COLOURS)]}"/>'
        )
        parts.append(_text(f"{_LEFT + 16},{up}", name))
    parts.append(_text(f"{_LEFT + inner[0] / 2},{_HEIGHT - 12}", x, anchor="middle"))
    parts.append(
        f'<text transform="translate(12 {_TOP + inner[1] / 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
    )
    return _svg(_WIDTH, _HEIGHT + 16 * len(series) + 4, parts)


def shares(rows: Mapping[str, Ratio], *, compared: Mapping[str, Ratio] | None = None) -> str:
    """Draw one bar a share, with its interval as a line and its counts behind; `compared` is a tick on the same bar."""
    room = _WIDTH - _NAMES - 110
    parts = []
    for index, (name, ratio) in enumerate(rows.items()):
        top = index * _ROW
        low, high = ratio.interval
        middle = top + _ROW / 2
        parts.append(_text(f"{_NAMES - 8},{middle + 4}", name, anchor="end"))
        parts.append(
            f'<rect x="{_NAMES}" y="{top + 4}" width="{max(1.0, room * ratio.value):.1f}" height="{_ROW - 8}" '
            'fill="#9ec5fe"/>'
        )
        parts.append(f'<path class="i" d="M{_NAMES + room * low:.1f},{middle} {_NAMES + room * high:.1f},{middle}"/>')
        if compared and name in compared:
            at = _NAMES + room * compared[name].value
            parts.append(f'<path class="c" d="M{at:.1f},{top + 2} {at:.1f},{top + _ROW - 2}"/>')
        parts.append(_text(f"{_NAMES + room + 8},{middle + 4}", f"{ratio.value:.3f} of {ratio.of}"))
    return _svg(_WIDTH, len(rows) * _ROW + 4, parts)


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Draw a table of counts, darker where a row's share is larger; a row is a true label, a column a given one."""
    side, left, top = 84, 110, 40
    parts = []
    for row, line in enumerate(counts):
        parts.append(_text(f"{left - 8},{top + row * side + side / 2 + 4}", names[row], anchor="end"))
        parts.append(_text(f"{left + row * side + side / 2},{top - 8}", names[row], anchor="middle"))
        for column, count in enumerate(line):
            share = count / sum(line) if sum(line) else 0.0
            corner = f'x="{left + column * side}" y="{top + row * side}"'
            parts.append(
                f'<rect {corner} width="{side - 2}" height="{side - 2}" fill="#0969da" fill-opacity="{share:.3f}"/>'
            )
            at = f"{left + column * side + side / 2},{top + row * side + side / 2}"
            parts.append(_text(at, f"{count}", anchor="middle"))
            parts.append(_text(at, f"{100 * share:.1f} %", dy=16, anchor="middle"))
    parts.append(_text(f"{left},{14}", "given label"))
    return _svg(left + side * len(names) + 4, top + side * len(names) + 4, parts)


def _text(at: str, content: str, *, dx: float = 0, dy: float = 0, anchor: str = "start") -> str:
    x, y = (float(part) for part in at.split(","))
    return f'<text x="{x + dx:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img">{"".join(parts)}</svg>'
