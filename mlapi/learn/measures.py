"""The measures of a classifier, with how sure one can be of them."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_Z: Final = 1.959963984540054
"""Of the normal distribution, for 95 %."""

_BOOTSTRAPS: Final = 2000
_CALIBRATION_BINS: Final = 10


class Interval(NamedTuple):
    """A share and its interval of 95 %."""

    value: float
    low: float
    high: float


class ClassMeasures(NamedTuple):
    """One label: of those called so, the share that are; of those that are, the share called so; and their mean."""

    precision: float
    recall: float
    f1: float
    support: int


def wilson(successes: int, of: int) -> Interval:
    """Return a share with Wilson's score interval (1927), which holds for few and for extreme ones too."""
    if of == 0:
        return Interval(math.nan, 0.0, 1.0)
    share = successes / of
    spread = _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # At the ends rounding would leave the bound a hair off the share itself.
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def confusion(truth: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Count the pairs: a row for each true label, a column for each that was said, in the order of `labels`."""
    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, ([place[label] for label in truth], [place[label] for label in said]), 1)
    return counts


def of_classes(counts: NDArray[np.int64]) -> list[ClassMeasures]:
    """Return the measures of each label; 0 where there is nothing to divide by, as scikit-learn has it."""
    right = np.diag(counts).astype(float)
    said, true = counts.sum(axis=0), counts.sum(axis=1)
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(right), where=total > 0)
    return [
        ClassMeasures(float(precision[index]), float(recall[index]), float(f1[index]), int(true[index]))
        for index in range(len(right))
    ]


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Return the mean F1 of the labels that occur, in truth or in what was said."""
    occurring = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    found = [measures.f1 for measures, there in zip(of_classes(counts), occurring, strict=True) if there]
    return sum(found) / len(found) if found else math.nan


def bootstrap_macro_f1(
    truth: Sequence[str], said: Sequence[str], labels: Sequence[str], *, seed: int = 0, rounds: int = _BOOTSTRAPS
) -> Interval:
    """Return the macro F1 with its percentile bootstrap interval (Efron 1979): the same for the same seed.

    Drawing examples with replacement is drawing the cells of the confusion matrix from a multinomial distribution.
    """
    counts = confusion(truth, said, labels)
    total = int(counts.sum())
    if not total:
        return Interval(math.nan, 0.0, 1.0)
    draws = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=rounds)
    values = [macro_f1(draw.reshape(counts.shape)) for draw in draws]
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(macro_f1(counts), float(low), float(high))


def calibration_error(scores: Sequence[float], right: Sequence[bool], bins: int = _CALIBRATION_BINS) -> float:
    """Return the expected calibration error over bins of equal mass: how far scores are from the shares of right."""
    if not scores:
        return math.nan
    order = np.argsort(np.asarray(scores), kind="stable")
    values, hits = np.asarray(scores)[order], np.asarray(right, float)[order]
    parts = [part for part in np.array_split(np.arange(len(values)), bins) if len(part)]
    gaps = [abs(values[part].mean() - hits[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(values))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947).

    Args:
        only_first: examples that the first model alone gets right.
        only_second: examples that the second alone gets right.
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    few = min(only_first, only_second)
    tail = ways = 1
    for count in range(few):
        ways = ways * (discordant - count) // (count + 1)
        tail += ways
    # Integers, because a float has no 2 to the power of 2000.
    return min(1.0, 2 * tail / (1 << discordant))
