"""The stage `model_building`: fits the classifier, with a search before it if there is to be one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from training.feature_engineering import stored_vectorizer
from training.lab import Fitted, Texts, choose_terms, classify, read
from training.params import LinearFeatures, LinearModel
from training.search import Trial, search
from training.stages import Order, Say, run_stage
from training.workspace import Workspace, pick, write_json

COEFFICIENTS = "coefficients.npy"
INTERCEPTS = "intercepts.npy"
TRAINING = "training.json"
_ASIDE = 0.1
"""Share of the training texts that the learning curve is measured on; the evaluation sets are for judging alone."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a learning curve: after `x` texts or steps, the figure of each line."""

    x: float
    lines: dict[str, float]


@dataclass(frozen=True, slots=True)
class Training:
    """How the training went.

    Attributes:
        chosen: the parameters that the model was built with.
        axis: what the learning curve's x is.
        curve: the learning curve.
        trials: what a search tried: number, parameters, score, scores of the folds.
    """

    chosen: dict[str, float | int | str]
    axis: str
    curve: list[Point]
    trials: list[dict[str, object]]


def build(order: Order, say: Say) -> None:
    """Write `model/`: weights in full precision, and `training.json`, which says how the training went.

    Raises:
        TrainingError: a checkpoint to start from is missing or another one than the parameters name.
    """
    params = order.params
    data = read(order.work.stage("prepared") / "train.tsv")
    folder = order.work.stage("model", fresh=True)
    if isinstance(params.features, LinearFeatures) and isinstance(params.building, LinearModel):
        training = _linear(order, data, params.features, params.building)
    else:
        from training import encoder  # noqa: PLC0415  PyTorch, which only the models that need it have to have

        training = encoder.build(order, data, folder, say)
    write_json(folder / TRAINING, training)
    chosen = ", ".join(f"{name} {value}" for name, value in training.chosen.items())
    say(f"model_building: {chosen}" + (f", the best of {len(training.trials)} trials" if training.trials else ""))


def _linear(order: Order, data: Texts, features: LinearFeatures, model: LinearModel) -> Training:
    folder = order.work.stage("model")
    trials: list[Trial] = []
    if model.search.trials:
        model, trials = search(data, features, model)
    matrix = sparse.load_npz(order.work.stage("features") / "train.npz")
    fitted = classify(matrix, data.labels, C=model.C, seed=model.seed, class_weight=model.class_weight)
    np.save(folder / COEFFICIENTS, fitted.coef_, allow_pickle=False)
    np.save(folder / INTERCEPTS, fitted.intercept_, allow_pickle=False)
    return Training(
        chosen=chosen(features, model),
        axis="training texts",
        curve=learning_curve(data, features, model),
        trials=[
            {"number": trial.number, "parameters": trial.parameters, "score": trial.score, "folds": trial.folds}
            for trial in trials
        ],
    )


def chosen(features: LinearFeatures, model: LinearModel) -> dict[str, float | int | str]:
    """Return the parameters as a bundle names them; those that are as in the first bundle are not named."""
    named: dict[str, float | int | str] = {
        "min_df": features.min_df,
        "terms": features.terms,
        "C": model.C,
        "seed": model.seed,
    }
    return named if model.class_weight == "none" else named | {"class_weight": model.class_weight}


def learning_curve(data: Texts, features: LinearFeatures, model: LinearModel) -> list[Point]:
    """Fit on growing shares of the training texts, each time the whole of it, and measure on texts set aside."""
    learned, aside = train_test_split(
        np.arange(len(data.texts)), test_size=_ASIDE, random_state=model.seed, stratify=data.labels
    )
    held_out, points = pick(data, aside.tolist()), []
    for share in model.curve:
        # The order is random already, so that its start is a sample.
        part = pick(data, learned[: max(1, int(share * len(learned)))].tolist())
        if len(set(part.labels.tolist())) < len(set(data.labels.tolist())):
            continue
        vectorizer = choose_terms(part, min_df=features.min_df, terms=features.terms)
        matrix = vectorizer.transform(part.texts)
        fitted = classify(matrix, part.labels, C=model.C, seed=model.seed, class_weight=model.class_weight)
        lines = {
            "accuracy on the texts learned from": accuracy_score(part.labels, fitted.predict(matrix)),
            "accuracy on texts set aside": accuracy_score(
                held_out.labels, fitted.predict(vectorizer.transform(held_out.texts))
            ),
        }
        points.append(Point(float(len(part.texts)), {name: float(value) for name, value in lines.items()}))
    return points


def stored_model(work: Workspace, labels: int) -> Fitted:
    """Return the estimators as they were when they were fitted."""
    folder = work.stage("model")
    classifier = LogisticRegression()
    classifier.classes_ = np.arange(labels)
    classifier.coef_ = np.load(folder / COEFFICIENTS, allow_pickle=False)
    classifier.intercept_ = np.load(folder / INTERCEPTS, allow_pickle=False)
    return Fitted(stored_vectorizer(work), classifier)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(build, arguments, "model_building", "Fit the model.")


if __name__ == "__main__":
    main()
