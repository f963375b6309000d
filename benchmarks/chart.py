"""Draws the bars of a run as an SVG, by hand: nothing has to be installed for it."""

from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.results import Table

_WIDTH: Final = 760
_NAMES: Final = 260
_BAR: Final = 18
_GAP: Final = 6
_TITLE: Final = 34
_ROOM: Final = 110

_PANELS: Final = (
    ("mixed", "texts_per_s", "misses of mixed length, texts/s"),
    ("hit", "requests_per_s", "hits, 2 texts a request, requests/s (server on one processor)"),
    ("miss-16", "p50_ms", "one unknown text of 16 tokens, median ms (shorter is better)"),
)


def render(table: Table) -> str:
    """Return the chart of a record."""
    y, parts = 0, []
    for row, measure, title in _PANELS:
        bars = _bars(table, row, measure)
        if bars:
            panel, y = _panel(title, bars, y)
            parts += panel
    style = "text{font:13px sans-serif;fill:#222}.t{font-weight:bold}.o{fill:#0b6}.p{fill:#9ab}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + _GAP}">'
        f"<style>{style}</style><rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>\n"
    )


def _bars(table: Table, row: str, measure: str) -> list[tuple[str, float, bool]]:
    """Return title, value and whether it is ours, of those that have a value."""
    peers = {"hello": "limit: bare uvicorn"} | table.record.peers
    limit = "hello" if row == "hit" else None
    found = []
    for name, title in peers.items():
        value = table.get(name, "hello" if name == limit else row, measure)
        if value:
            found.append((title, value.median, name.startswith("mlapi")))
    return found


def _panel(title: str, bars: Sequence[tuple[str, float, bool]], top: int) -> tuple[list[str], int]:
    y = top + _TITLE
    parts = [f'<text class="t" x="8" y="{y - 12}">{escape(title)}</text>']
    scale = (_WIDTH - _NAMES - _ROOM) / max(value for _, value, _ in bars)
    for name, value, ours in bars:
        width = max(1.0, value * scale)
        middle = y + _BAR - 5
        parts.append(f'<text x="{_NAMES - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        kind = "o" if ours else "p"
        parts.append(f'<rect class="{kind}" x="{_NAMES}" y="{y}" width="{width:.1f}" height="{_BAR}"/>')
        parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{middle}">{value:,.4g}</text>'.replace(",", " "))
        y += _BAR + _GAP
    return parts, y
