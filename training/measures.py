"""Measures how well a model labels texts: shares with their intervals, ranking, calibration, slices."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from training.lab import Texts

Probabilities: TypeAlias = NDArray[np.float64]
"""Shape [texts, labels]."""

_BINS: Final = 10
_SMALLEST: Final = 1e-12
_LENGTHS: Final = (5, 10, 20, 40)
_NEGATION: Final = re.compile(r"(?i)\b(?:not|no|never|nothing|nor|neither|without|hardly|barely)\b|n't\b")
_WORD: Final = re.compile(r"(?u)\b\w\w+\b")


@dataclass(frozen=True, slots=True)
class Ratio:
    """A share of texts, with its 95 % interval (Wilson, without correction for continuity).

    Attributes:
        hits: how many.
        of: how many there are.
    """

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share; 0 of nothing is 0."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound; of nothing, all is possible."""
        if not self.of:
            return 0.0, 1.0
        bounds = binomtest(self.hits, self.of).proportion_ci(method="wilson")
        return float(bounds.low), float(bounds.high)

    def as_dict(self) -> dict[str, float | int]:
        """Return value, bounds and counts."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "hits": self.hits, "of": self.of}


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label: of the texts that have it, and of those that were given it, how many are right; and how it ranks."""

    recall: Ratio
    precision: Ratio
    f1: float
    average_precision: float | None
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts of similar confidence: their mean confidence, and the share that is right."""

    confidence: float
    right: Ratio


@dataclass(frozen=True, slots=True)
class Figures:
    """How a model does on one set.

    Attributes:
        accuracy: share of texts that got their label.
        balanced_accuracy: mean recall of the labels that occur.
        labels: the figures of each label that occurs, by name.
        confusion: counts, shape [true label, given label].
        calibration: bins of as many texts each, by rising confidence.
        ece: expected calibration error: mean distance of confidence and share of right answers, over those bins.
        brier: mean squared distance of the probabilities from the truth, summed over the labels.
        log_loss: mean negative logarithm of the true label's probability.
        slices: accuracy on parts of the set.
    """

    accuracy: Ratio
    balanced_accuracy: float
    labels: dict[str, LabelFigures]
    confusion: list[list[int]]
    calibration: list[Bin]
    ece: float
    brier: float
    log_loss: float
    slices: dict[str, Ratio]


def measure(data: Texts, scores: Probabilities, names: Sequence[str]) -> Figures:
    """Compare probabilities with the truth.

    Raises:
        ValueError: there is no text, or not a row of finite probabilities for each.
    """
    truth = data.labels
    if not len(truth) or scores.shape != (len(truth), len(names)) or not np.isfinite(scores).all():
        msg = f"{len(truth)} texts of {len(names)} labels cannot be measured with scores of shape {scores.shape}"
        raise ValueError(msg)
    given = scores.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth, given), 1)
    present = [index for index in range(len(names)) if confusion[index].any()]
    bins = calibration(scores.max(axis=1), given == truth)
    return Figures(
        accuracy=Ratio(int((given == truth).sum()), len(truth)),
        balanced_accuracy=float(np.mean([confusion[index, index] / confusion[index].sum() for index in present])),
        labels={names[index]: _label(index, confusion, truth, scores) for index in present},
        confusion=confusion.tolist(),
        calibration=bins,
        ece=sum(abs(part.confidence - part.right.value) * part.right.of for part in bins) / len(truth),
        brier=float(((scores - np.eye(len(names))[truth]) ** 2).sum(axis=1).mean()),
        log_loss=float(-np.log(np.maximum(scores[np.arange(len(truth)), truth], _SMALLEST)).mean()),
        slices=slices(data.texts, given == truth),
    )


def _label(index: int, confusion: NDArray[np.int64], truth: NDArray[np.int64], scores: Probabilities) -> LabelFigures:
    hits, have, got = (
        int(count) for count in (confusion[index, index], confusion[index].sum(), confusion[:, index].sum())
    )
    has_it = truth == index
    ranks = bool(has_it.any() and not has_it.all())
    return LabelFigures(
        recall=Ratio(hits, have),
        precision=Ratio(hits, got),
        f1=2 * hits / (have + got),
        average_precision=float(average_precision_score(has_it, scores[:, index])) if ranks else None,
        roc_auc=float(roc_auc_score(has_it, scores[:, index])) if ranks else None,
    )


def calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    """Split texts into bins of as many texts each, by rising confidence."""
    order = np.argsort(confidence, kind="stable")
    return [
        Bin(float(confidence[part].mean()), Ratio(int(right[part].sum()), len(part)))
        for part in np.array_split(order, min(_BINS, len(order)))
    ]


def slices(texts: Sequence[str], right: NDArray[np.bool_]) -> dict[str, Ratio]:
    """Return the accuracy on texts of some length, and those with and without a negation; empty ones are left out."""
    words = [len(text.split()) for text in texts]
    parts: dict[str, Callable[[int], bool]] = {
        f"{low + 1} to {high} words": lambda place, low=low, high=high: low < words[place] <= high  # type: ignore[misc]
        for low, high in pairwise((0, *_LENGTHS))
    }
    parts[f"more than {_LENGTHS[-1]} words"] = lambda place: words[place] > _LENGTHS[-1]
    parts["with a negation"] = lambda place: bool(_NEGATION.search(texts[place]))
    parts["without a negation"] = lambda place: not _NEGATION.search(texts[place])
    found = {}
    for name, belongs in parts.items():
        places = [place for place in range(len(texts)) if belongs(place)]
        if places:
            found[name] = Ratio(int(right[places].sum()), len(places))
    return found


def precision_recall(data: Texts, scores: Probabilities, label: int) -> list[tuple[float, float]]:
    """Return points (recall, precision) of one label, by falling threshold."""
    precision, recall, _ = precision_recall_curve(data.labels == label, scores[:, label])
    return [*zip(recall[::-1].tolist(), precision[::-1].tolist(), strict=True)]


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Compare two models on the same texts: how many only ours has right, only theirs, and the exact two-sided p-value.

    See McNemar, Psychometrika 12 (1947): under the null hypothesis the texts that only one has right fall to either
    with the same probability.
    """
    won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return won, lost, float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def words_in_errors(texts: Sequence[str], right: NDArray[np.bool_], count: int = 15) -> list[tuple[str, Ratio]]:
    """Return the words whose texts are wrong more often than others, by the lower bound of that share."""
    wrong: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for text, good in zip(texts, right.tolist(), strict=True):
        words = set(_WORD.findall(text.lower()))
        seen.update(words)
        wrong.update(words if not good else ())
    shares = [(word, Ratio(wrong[word], seen[word])) for word in wrong if seen[word] > 2]  # noqa: PLR2004  chance
    return sorted(shares, key=lambda found: (-found[1].interval[0], found[0]))[:count]
