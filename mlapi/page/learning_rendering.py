"""Writes the page of the learning loop: models, what was decided about them, how often they are right, and runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any, Final

from mlapi.feedback.registry import Ancestor
from mlapi.feedback.runs import Run, State
from mlapi.page.files import FOLDER

_MS: Final = 1000
_DIGITS: Final = 12
_SAMPLES: Final[Mapping[str, str]] = {"texts": "of texts", "requests": "of requests"}
_WORDS: Final = frozenset({"decided", "gate", "reason"})
"""The columns of sentences; the others hold names, digests and times, which are not to be broken."""

_KEY: Final = (
    '<form method="post" action="learn"><label for="key">API key</label>'
    '<input id="key" name="key" type="password" autocomplete="off" spellcheck="false" required '
    'aria-describedby="key-hint">'
    '<p id="key-hint" class="hint">One with the scope admin. It is sent once, and kept nowhere.</p>'
    '<p class="actions"><button type="submit" class="main">Show</button></p></form>'
)


@dataclass(frozen=True, slots=True)
class LoopModel:
    """One model of the loop.

    Attributes:
        name: that it is served under.
        history: what was registered under this name, the newest first.
        accuracy: by sample, how often it is right by the opinions that were asked for; empty where nobody looked yet.
    """

    name: str
    history: Sequence[Ancestor]
    accuracy: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Overview:
    """How the loop is doing.

    Attributes:
        models: those of its file.
        runs: the latest, the newest first.
        stuck_ms: how long a run may be in one state before it is called stuck.
        now: when this was so, in milliseconds since 1970, as all times are.
    """

    models: Sequence[LoopModel]
    runs: Sequence[Run]
    stuck_ms: int
    now: int


def learning_page(overview: Overview | None, *, notice: str = "", keyed: bool = False) -> bytes:
    """Return the page; without an overview, what is to be told instead of it."""
    parts = [] if overview is None else [*map(_model, overview.models), _runs(overview)]
    footer = f"<footer><p>As of {_time(overview.now)}. Times are UTC.</p></footer>" if overview else ""
    template = Template((FOLDER / "assets" / "learn.html").read_text(encoding="utf-8"))
    return template.substitute(
        notice=f'<p class="card problem" role="status">{escape(notice)}</p>' if notice else "",
        key=_KEY if keyed and overview is None else "",
        content="\n".join(parts),
        footer=footer,
    ).encode()


def _model(model: LoopModel) -> str:
    champion = next((found.facts.digest for found in model.history if found.champion), "")
    name = escape(model.name)
    heading = f'<h2 id="model-{name}">{name}</h2>'
    said = f"Champion <code>{champion[:_DIGITS]}</code>" if champion else "No model of the loop is the champion yet"
    return (
        f'<section class="card" aria-labelledby="model-{name}">{heading}<p>{said}.</p>'
        + _accuracy(model.accuracy)
        + _history(model.history)
        + "</section>"
    )


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    """Write how often a model is right, and where that was not measured, that it was not."""
    rows = []
    for sample, words in _SAMPLES.items():
        found = accuracy.get(sample, {})
        measured = found.get("accuracy")
        if not measured:
            rows.append((words, "not measured", "0"))
            continue
        share = f"{measured['value']:.1%} ({measured['low']:.1%} to {measured['high']:.1%})"
        few = "" if found["enough"] else ", too few to judge by"
        rows.append((words, share, f"{found['count']}{few}"))
    return _table(
        "Right, by the opinions that were asked for at random, with the 95 % interval",
        ("share", "right", "opinions"),
        rows,
    )


def _history(history: Sequence[Ancestor]) -> str:
    rows = []
    for found in history:
        facts = found.facts
        decided = "; ".join(
            f"{one.decision.replace('_', ' ')} {_time(one.time_ms)}: {one.reason}" for one in found.decisions
        )
        texts = f", {found.dataset.texts} texts" if found.dataset else ""
        rows.append(
            (
                facts.digest[:_DIGITS],
                f"{facts.dataset[:_DIGITS] or 'unknown'}{texts}",
                facts.commit[:_DIGITS] or "unknown",
                facts.parent[:_DIGITS] or "none",
                facts.report[:_DIGITS] or "none",
                decided or "nothing yet",
            )
        )
    return _table("Models, the newest first", ("bundle", "data", "code", "parent", "report", "decided"), rows)


def _runs(overview: Overview) -> str:
    rows = []
    for run in overview.runs:
        stuck = not run.ended and overview.now - run.changed_ms > overview.stuck_ms
        rows.append(
            (
                run.id,
                run.model,
                run.state.value.replace("_", " ") + (" (stuck)" if stuck else ""),
                _time(run.changed_ms),
                run.facts.candidate[:_DIGITS] or "none yet",
                _gate(run),
                run.reason,
            )
        )
    table = _table("Runs, the newest first", ("run", "model", "state", "since", "candidate", "gate", "reason"), rows)
    return f'<section class="card" aria-labelledby="runs"><h2 id="runs">Runs</h2>{table}</section>'


def _gate(run: Run) -> str:
    """Say what the gate found: only what came past it passed."""
    if run.facts.lacking:
        return "; ".join(run.facts.lacking)
    if run.state in {State.PROPOSED, State.CANARY, State.PROMOTED, State.ROLLED_BACK}:
        return "passed"
    return f"not asked: {run.facts.error}" if run.facts.error else "not asked"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f'<p class="hint">{escape(caption)}: none.</p>'
    head = "".join(f'<th role="columnheader" scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(_row(columns, row) for row in rows)
    return (
        f'<div class="wide"><table role="table"><caption>{escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _row(columns: Sequence[str], row: Sequence[str]) -> str:
    """Write a row. On a narrow screen its cells stand below each other, each after its column's name.

    What is laid out otherwise is no table to a screen reader any more, unless its roles say so.
    """
    cells = []
    for place, (column, cell) in enumerate(zip(columns, row, strict=True)):
        kind = "td" if place else "th"
        role = ' role="cell"' if place else ' role="rowheader" scope="row"'
        words = ' class="words"' if column in _WORDS else ""
        cells.append(f'<{kind}{role}{words} data-column="{escape(column)}">{escape(cell)}</{kind}>')
    return f'<tr role="row">{"".join(cells)}</tr>'


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / _MS, UTC).isoformat(" ", timespec="seconds").removesuffix("+00:00")
