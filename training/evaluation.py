"""Judges a model: figures on each evaluation set, behaviour, bias, and the model that it would replace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.behaviour import Gap, Outcome, Predict, behave, bias
from training.lab import Texts
from training.measures import Figures, Probabilities, Ratio, mcnemar, measure, slices, words_in_errors

POSITIVE = "POSITIVE"
NEGATIVE = "NEGATIVE"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate against the champion on one set.

    Attributes:
        champion: SHA-256 (hex) of its bundle.
        accuracy: the champion's.
        won: texts that only the candidate has right.
        lost: texts that only the champion has right.
        p_value: of McNemar's exact test.
        agreement: share of the texts that both give the same label.
        slices: the champion's accuracy on the parts of the set.
        worse: names of the parts on which the candidate is less accurate.
    """

    champion: str
    accuracy: Ratio
    won: int
    lost: int
    p_value: float
    agreement: float
    slices: dict[str, Ratio]
    worse: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetJudged:
    """One evaluation set: its texts, their probabilities, what was measured, and the words whose texts went wrong."""

    data: Texts
    scores: Probabilities
    figures: Figures
    errors: list[tuple[str, Ratio]]
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that was found out about a model."""

    labels: tuple[str, ...]
    sets: dict[str, SetJudged]
    behaviour: list[Outcome]
    bias: list[Gap]

    def as_dict(self) -> dict[str, object]:
        """Return the figures as `metrics.json` holds them."""
        return {
            "sets": {name: _set_as_dict(judged) for name, judged in self.sets.items()},
            "behaviour": {outcome.name: outcome.passed.as_dict() for outcome in self.behaviour},
            "bias": {
                f"{gap.kind}: {gap.groups[0]}, {gap.groups[1]}": {
                    "gap": gap.mean, "p_value": gap.p_value, "pairs": gap.pairs
                }
                for gap in self.bias
            },
            "bias_gap": max((abs(gap.mean) for gap in self.bias), default=None),
        }  # fmt: skip


def judge(
    predict: Predict,
    sets: Mapping[str, Texts],
    labels: Sequence[str],
    champion: tuple[str, Predict] | None = None,
) -> Judgement:
    """Measure a model on every set, and compare it with the champion.

    Behaviour and bias are about a positive and a negative label; a model without them has no such tests.

    Raises:
        ValueError: there is no set, or an empty one: what was not measured is not good.
    """
    if not sets:
        msg = "there is no evaluation set"
        raise ValueError(msg)
    judged = {}
    for name, data in sets.items():
        scores = predict(data.texts)
        right = scores.argmax(axis=1) == data.labels
        comparison = _compare(champion, data, scores.argmax(axis=1)) if champion else None
        judged[name] = SetJudged(
            data, scores, measure(data, scores, labels), words_in_errors(data.texts, right), comparison
        )
    outcomes, gaps = [], []
    if {POSITIVE, NEGATIVE} <= set(labels):
        positive, negative = labels.index(POSITIVE), labels.index(NEGATIVE)
        outcomes, gaps = behave(predict, positive, negative), bias(predict, positive)
    return Judgement(tuple(labels), judged, outcomes, gaps)


def _compare(champion: tuple[str, Predict], data: Texts, answers: np.ndarray[Any, np.dtype[np.int64]]) -> Comparison:
    digest, predict = champion
    their_answers = predict(data.texts).argmax(axis=1)
    right, theirs = answers == data.labels, their_answers == data.labels
    won, lost, p_value = mcnemar(right, theirs)
    ours, before = slices(data.texts, right), slices(data.texts, theirs)
    worse = tuple(name for name, ratio in ours.items() if ratio.hits < before[name].hits)
    same = float((answers == their_answers).mean())
    return Comparison(digest, Ratio(int(theirs.sum()), len(theirs)), won, lost, p_value, same, before, worse)


def _set_as_dict(judged: SetJudged) -> dict[str, object]:
    figures, comparison = judged.figures, judged.comparison
    found: dict[str, object] = {
        "accuracy": figures.accuracy.as_dict(),
        "balanced_accuracy": figures.balanced_accuracy,
        "labels": {
            name: {
                "recall": label.recall.as_dict(),
                "precision": label.precision.as_dict(),
                "f1": label.f1,
                "average_precision": label.average_precision,
                "roc_auc": label.roc_auc,
            }
            for name, label in figures.labels.items()
        },
        "confusion": figures.confusion,
        "ece": figures.ece,
        "brier": figures.brier,
        "log_loss": figures.log_loss,
        "slices": {name: ratio.as_dict() for name, ratio in figures.slices.items()},
    }
    if comparison:
        found["against"] = {
            "champion": comparison.champion,
            "accuracy": comparison.accuracy.as_dict(),
            "won": comparison.won,
            "lost": comparison.lost,
            "p_value": comparison.p_value,
            "agreement": comparison.agreement,
            "worse": comparison.worse,
        }
    return found
