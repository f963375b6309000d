"""Writes an evaluation for people: one HTML file that needs nothing from anywhere."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec

from training import figures
from training.evaluation import Comparison, Judgement, SetJudged
from training.measures import Ratio, precision_recall

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
h1,h2,h3{line-height:1.2}table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.2rem .8rem .2rem 0}
td.n{text-align:right}tr{border-bottom:1px solid #d0d7de}.bad{color:#b42318}.flow{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0}figcaption{font-weight:600}svg{font:12px system-ui,sans-serif;max-width:100%;height:auto}
.g{stroke:#d0d7de}.d{stroke:#57606a;stroke-dasharray:4}.i{stroke:#0550ae;stroke-width:2}
.c{stroke:#bc4c00;stroke-width:3}
"""


def render(
    title: str,
    judgement: Judgement,
    facts: Mapping[str, str],
    *,
    checks: Sequence[Mapping[str, Any]],
    training: Mapping[str, Any],
    words: Mapping[str, Sequence[tuple[str, float]]],
) -> str:
    """Return the page.

    Args:
        title: of the page.
        judgement: what was measured.
        facts: what the model is, by name.
        checks: what `data_preprocessing` found, as it wrote it.
        training: how the training went, as `model_building` wrote it.
        words: for each label the terms that speak most for it, with their weights; empty for models without terms.
    """
    body = [f"<h1>{escape(title)}</h1>", _table(("", ""), facts.items())]
    for name, judged in judgement.sets.items():
        body += _set(name, judged, judgement.labels)
    body += _behaviour(judgement)
    body += _training(training)
    if words:
        body.append("<h2>Words that decide</h2><p>The terms with the largest weights, for each label.</p>")
        body.append(
            _table(("label", "terms"), ((label, ", ".join(term for term, _ in top)) for label, top in words.items()))
        )
    body.append("<h2>Checks of the texts</h2>")
    rows = (
        (
            check["dataset"],
            check["name"],
            f"{check['found']} of {check['of']}",
            check["limit"],
            " · ".join(check["examples"]),
        )
        for check in checks
    )
    body.append(_table(("set", "check", "found", "allowed", "examples"), rows))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def write_plots(folder: Path, judgement: Judgement, training: Mapping[str, Any]) -> None:
    """Write the points of the plots as CSV, for programs that draw their own, such as DVC."""
    rows: dict[str, list[tuple[object, ...]]] = {
        "confusion.csv": [("set", "actual", "predicted", "count")],
        "calibration.csv": [("set", "confidence", "right")],
        "precision_recall.csv": [("set", "label", "recall", "precision")],
        "learning_curve.csv": [("x", "line", "value")],
    }
    for name, judged in judgement.sets.items():
        for row, counts in zip(judgement.labels, judged.figures.confusion, strict=True):
            rows["confusion.csv"] += [(name, row, *cell) for cell in zip(judgement.labels, counts, strict=True)]
        rows["calibration.csv"] += [(name, part.confidence, part.right.value) for part in judged.figures.calibration]
        for index, label in enumerate(judgement.labels):
            if label in judged.figures.labels:
                points = _thinned(precision_recall(judged.data, judged.scores, index))
                rows["precision_recall.csv"] += [(name, label, *point) for point in points]
    for point in training["curve"]:
        rows["learning_curve.csv"] += [(point["x"], line, value) for line, value in point["lines"].items()]
    for file, lines in rows.items():
        with (folder / file).open("w", encoding="utf-8", newline="") as plot:
            csv.writer(plot, lineterminator="\n").writerows(lines)


def _set(name: str, judged: SetJudged, labels: Sequence[str]) -> Iterable[str]:
    found, comparison = judged.figures, judged.comparison
    yield f"<h2>{escape(name)}, {found.accuracy.of} texts</h2>"
    yield _table(
        ("figure", "value"),
        (
            ("accuracy", _share(found.accuracy)),
            ("balanced accuracy", f"{found.balanced_accuracy:.4f}"),
            ("expected calibration error", f"{found.ece:.4f}"),
            ("Brier score", f"{found.brier:.4f}"),
            ("log loss", f"{found.log_loss:.4f}"),
        ),
    )
    rows = (
        (
            label,
            _share(part.recall),
            _share(part.precision),
            f"{part.f1:.4f}",
            _number(part.average_precision),
            _number(part.roc_auc),
        )
        for label, part in found.labels.items()
    )
    yield _table(("label", "recall", "precision", "F1", "area under PR", "area under ROC"), rows)
    if comparison:
        yield _against(comparison)
    yield from _plots(judged, labels)
    if judged.errors:
        yield "<h3>Words whose texts go wrong most often</h3>"
        yield _table(("word", "wrong"), ((word, _share(ratio)) for word, ratio in judged.errors))


def _against(comparison: Comparison) -> str:
    worse = (
        f'<span class="bad">Worse on: {escape(", ".join(comparison.worse))}.</span>'
        if comparison.worse
        else "Worse on no slice."
    )
    return (
        f"<h3>Against the champion {comparison.champion[:12]}</h3><p>It has {_share(comparison.accuracy)} right. "
        f"Only this model is right on {comparison.won} texts, only the champion on {comparison.lost} "
        f"(McNemar's exact test: p = {comparison.p_value:.3f}). {worse}</p>"
    )


def _plots(judged: SetJudged, labels: Sequence[str]) -> Iterable[str]:
    found, comparison = judged.figures, judged.comparison
    curves = {
        label: _thinned(precision_recall(judged.data, judged.scores, index))
        for index, label in enumerate(labels)
        if label in found.labels
    }
    bins = [(part.confidence, part.right.value) for part in found.calibration]
    yield '<div class="flow">'
    yield _figure("Confusion", figures.confusion(found.confusion, labels))
    yield _figure(
        "Calibration: are scores as sure as they are right?",
        figures.lines(
            {"texts of similar score": bins},
            x="score of the given label",
            y="share right",
            x_range=(0, 1),
            diagonal=True,
        ),
    )
    yield _figure("Precision and recall", figures.lines(curves, x="recall", y="precision", x_range=(0, 1)))
    yield _figure(
        "Slices" + (" (mark: the champion)" if comparison else ""),
        figures.shares(found.slices, compared=comparison.slices if comparison else None),
    )
    yield "</div>"


def _behaviour(judgement: Judgement) -> Iterable[str]:
    if not judgement.behaviour:
        yield "<h2>Behaviour</h2><p>Not tested: the model has no positive and negative label.</p>"
        return
    yield "<h2>Behaviour</h2>"
    rows = ((test.name, test.says, _share(test.passed), " · ".join(test.failed)) for test in judgement.behaviour)
    yield _table(("test", "what has to hold", "passed", "failed, for example"), rows)
    yield "<h3>Equal treatment</h3>"
    yield "<p>Mean difference of the positive score in sentences that differ only in the person.</p>"
    gaps = (
        (gap.kind, " / ".join(gap.groups), f"{gap.mean:+.4f}", f"{gap.p_value:.3f}", gap.pairs)
        for gap in judgement.bias
    )
    yield _table(("kind", "groups", "gap", "p (sign test)", "pairs"), gaps)


def _training(training: Mapping[str, Any]) -> Iterable[str]:
    yield "<h2>Training</h2>"
    yield _table(("parameter", "value"), training["chosen"].items())
    series: dict[str, list[tuple[float, float]]] = {}
    for point in training["curve"]:
        for line, value in point["lines"].items():
            series.setdefault(line, []).append((point["x"], value))
    if series:
        top = max(1.0, *(value for points in series.values() for _, value in points))
        yield _figure("Learning curve", figures.lines(series, x=training["axis"], y="", y_range=(0.0, top)))
    if training["trials"]:
        rows = (
            (trial["number"], msgspec.json.encode(trial["parameters"]).decode(), f"{trial['score']:.4f}")
            for trial in training["trials"]
        )
        yield "<h3>Trials of the search</h3>"
        yield _table(("trial", "parameters", "mean balanced accuracy of the folds"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head) if any(head) else ""
    lines = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{lines}</table>"


def _figure(caption: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


def _share(ratio: Ratio) -> str:
    low, high = ratio.interval
    return f"{ratio.value:.4f} ({low:.4f} to {high:.4f}; {ratio.hits} of {ratio.of})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _thinned(points: Sequence[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    step = max(1, len(points) // most)
    return [*points[::step], points[-1]]
