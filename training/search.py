"""Searches the parameters of a linear model with Optuna, by stratified cross-validation on the training texts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from training.lab import Texts, choose_terms, classify
from training.params import LinearFeatures, LinearModel, Search
from training.workspace import pick


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: what it was given, and the balanced accuracy of each fold."""

    number: int
    parameters: dict[str, float | str]
    folds: tuple[float, ...]

    @property
    def score(self) -> float:
        """Mean balanced accuracy of the folds."""
        return float(np.mean(self.folds))


@dataclass(frozen=True, slots=True)
class _Fold:
    """One part of the texts as features, with terms that were chosen on the other parts alone."""

    train: Any
    train_labels: Any
    test: Any
    test_labels: Any


def search(data: Texts, features: LinearFeatures, model: LinearModel) -> tuple[LinearModel, list[Trial]]:
    """Return the model with the best parameters that were tried, and all trials in their order.

    The given parameters are the first trial, so that the result is at least as good as they are. Balanced accuracy, so
    that a rare label counts as much as a frequent one.
    """
    plan = model.search
    folds = _folds(data, features, plan)
    trials: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        C = trial.suggest_float("C", min(plan.C), max(plan.C), log=True)  # noqa: N806  scikit-learn's name
        weight = trial.suggest_categorical("class_weight", plan.class_weight)
        scores = []
        for fold in folds:
            fitted = classify(fold.train, fold.train_labels, C=C, seed=model.seed, class_weight=weight)
            scores.append(float(balanced_accuracy_score(fold.test_labels, fitted.predict(fold.test))))
        trials.append(Trial(trial.number, {"C": C, "class_weight": weight}, tuple(scores)))
        return trials[-1].score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(plan))
    if plan.sampler == "tpe" and min(plan.C) <= model.C <= max(plan.C) and model.class_weight in plan.class_weight:
        study.enqueue_trial({"C": model.C, "class_weight": model.class_weight})
    study.optimize(objective, n_trials=plan.trials)
    best = max(trials, key=lambda trial: trial.score).parameters
    return _replaced(model, best), trials


def _folds(data: Texts, features: LinearFeatures, plan: Search) -> list[_Fold]:
    split = StratifiedKFold(plan.folds, shuffle=True, random_state=plan.seed)
    folds = []
    for kept, left_out in split.split(data.texts, data.labels):
        train, test = (pick(data, places.tolist()) for places in (kept, left_out))
        vectorizer = choose_terms(train, min_df=features.min_df, terms=features.terms)
        folds.append(
            _Fold(vectorizer.transform(train.texts), train.labels, vectorizer.transform(test.texts), test.labels)
        )
    return folds


def _sampler(plan: Search) -> optuna.samplers.BaseSampler:
    if plan.sampler == "grid":
        return optuna.samplers.GridSampler({"C": plan.C, "class_weight": plan.class_weight}, seed=plan.seed)
    return optuna.samplers.TPESampler(seed=plan.seed)


def _replaced(model: LinearModel, best: dict[str, float | str]) -> LinearModel:
    # Not msgspec's `replace`, whose argument types a search cannot name.
    return LinearModel(
        C=float(best["C"]),
        class_weight="balanced" if best["class_weight"] == "balanced" else "none",
        seed=model.seed,
        search=model.search,
        curve=model.curve,
    )
