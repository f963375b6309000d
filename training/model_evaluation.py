"""The stage `model_evaluation`: measures the model that was built, and writes the report."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from training import report
from training.evaluation import judge
from training.model_building import COEFFICIENTS, TRAINING, stored_model
from training.params import LinearModel
from training.predictors import candidate, champion
from training.stages import Order, Say, run_stage
from training.workspace import read_json, write_json

SHIPPED: Final = Path(__file__).parents[1] / "models"
"""The bundle of the same name there, if it has the same labels, is the champion, unless another one is named."""

_TERMS: Final = 25


def evaluate(order: Order, say: Say) -> None:
    """Write `metrics.json`, and `evaluation/` with the report and the points of its plots.

    Raises:
        BundleError: the champion is not whole.
        EngineError: the champion cannot be run.
    """
    params, work = order.params, order.work
    folder = work.stage("evaluation", fresh=True)
    sets = work.evaluation_sets("prepared")
    with ExitStack() as scratch:
        predict = candidate(order, scratch)
        before = champion(order.champion or SHIPPED / params.name, params.labels, scratch)
        judgement = judge(predict, sets, params.labels, before)
    training = read_json(work.stage("model") / TRAINING)
    sources = read_json(work.stage("data") / "sources.json")
    facts = {
        "model": f"{work.model}: {params.name}",
        "labels": ", ".join(params.labels),
        "learned from": ", ".join(f"{part['name']} ({part['sha256'][:12]})" for part in sources["train"]),
        "texts": f"{sources['texts']['train']}",
    }
    page = report.render(
        f"{params.name}: evaluation",
        judgement,
        facts,
        checks=read_json(work.stage("prepared") / "checks.json"),
        training=training,
        words=deciding_words(order),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    report.write_plots(folder, judgement, training)
    write_json(work.metrics, judgement.as_dict())
    for name, judged in judgement.sets.items():
        say(f"model_evaluation: {judged.figures.accuracy.value:.4f} of {name} right")
    say(f"model_evaluation: {folder / 'report.html'}")


def deciding_words(order: Order) -> dict[str, list[tuple[str, float]]]:
    """Return for each label the terms of a linear model with the largest weights."""
    if not isinstance(order.params.building, LinearModel):
        return {}
    labels = order.params.labels
    terms = stored_model(order.work, len(labels)).vectorizer.get_feature_names_out()
    weights = np.load(order.work.stage("model") / COEFFICIENTS, allow_pickle=False)
    # Of two labels, scikit-learn keeps the second one's weights alone; they speak against the first.
    rows = [-weights[0], weights[0]] if len(weights) == 1 else [*weights]
    return {
        label: [(str(terms[place]), float(row[place])) for place in np.argsort(-row, kind="stable")[:_TERMS]]
        for label, row in zip(labels, rows, strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(evaluate, arguments, "model_evaluation", "Measure the model and write the report.")


if __name__ == "__main__":
    main()
