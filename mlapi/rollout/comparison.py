"""Compares what two versions say of the same texts, and judges the difference by limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the new version may be from the old one.

    Attributes:
        min_texts: fewer compared texts are no comparison.
        max_flip_rate: share of texts, and of requests for them, whose label may change.
        max_label_flip_rate: the same of the texts of one label.
        min_label_texts: a label with fewer texts is reported and not judged by itself.
        max_score_shift: how far the old label's score may move, on average.
    """

    min_texts: int = 100
    max_flip_rate: float = 0.02
    max_label_flip_rate: float = 0.05
    min_label_texts: int = 20
    max_score_shift: float = 0.05


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of the texts that had one label with the old version.

    Attributes:
        texts: how many.
        flips: how many have another label now.
        flip_rate: that share of them.
        score_shift: how far the label's score moved, on average; falling is negative.
        judged: whether there are enough to judge by.
    """

    texts: int
    flips: int
    flip_rate: float
    score_shift: float
    judged: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it.

    Attributes:
        texts: how many were compared.
        flips: how many have another label, or none because the new version refuses them.
        refused: how many of those it refuses.
        flip_rate: share of texts.
        flip_rate_by_traffic: share of requests for them.
        score_shift_mean: absolute change of the old label's score, on average.
        score_shift_p99: the same, for the hundredth text from the top of a hundred.
        score_shift_max: the largest.
        labels: the same by the old version's label.
        problems: why the new version must not go on; empty: it may.
    """

    texts: int
    flips: int
    refused: int
    flip_rate: float
    flip_rate_by_traffic: float
    score_shift_mean: float
    score_shift_p99: float
    score_shift_max: float
    labels: Mapping[str, LabelReport]
    problems: Sequence[str]


class TooFewTextsError(Exception):
    """There is not enough to compare: nothing was measured, and that is no pass."""


@dataclass(slots=True)
class _Tally:
    texts: int = 0
    flips: int = 0
    shift: float = 0.0


@dataclass(slots=True)
class _Totals:
    shifts: list[float] = field(default_factory=list)
    labels: dict[str, _Tally] = field(default_factory=dict)
    weight: float = 0.0
    flipped_weight: float = 0.0
    refused: int = 0


def compare(
    weights: Mapping[str, int],
    old: Mapping[str, Mapping[str, float]],
    new: Mapping[str, Mapping[str, float]],
    refused: Sequence[str],
    bounds: Bounds,
) -> Comparison:
    """Compare the scores of texts.

    Args:
        weights: how often each text is asked for.
        old: what the old version says of each text, score by label.
        new: what the new one says.
        refused: what only the new one will not answer, or fails on.
        bounds: how far they may be apart.

    Raises:
        TooFewTextsError: fewer texts than `bounds.min_texts` can be compared.
    """
    rejected = set(refused)
    compared = [text for text in weights if text in old and (text in new or text in rejected)]
    if len(compared) < max(1, bounds.min_texts):
        msg = f"{len(compared)} texts could be compared, and it takes {max(1, bounds.min_texts)}: nothing was judged"
        raise TooFewTextsError(msg)
    totals = _Totals()
    for text in compared:
        _add(totals, weights[text], old[text], new.get(text))
    return _judge(totals, bounds)


def _add(totals: _Totals, weight: int, before: Mapping[str, float], after: Mapping[str, float] | None) -> None:
    label = max(before, key=before.__getitem__)
    tally = totals.labels.setdefault(label, _Tally())
    shift = (0.0 if after is None else after.get(label, 0.0)) - before[label]
    flipped = after is None or max(after, key=after.__getitem__) != label
    totals.refused += after is None
    totals.shifts.append(abs(shift))
    totals.weight += weight
    totals.flipped_weight += weight * flipped
    tally.texts += 1
    tally.flips += flipped
    tally.shift += shift


def _judge(totals: _Totals, bounds: Bounds) -> Comparison:
    count = len(totals.shifts)
    ordered = sorted(totals.shifts)
    flips = sum(tally.flips for tally in totals.labels.values())
    labels = {
        label: LabelReport(
            tally.texts,
            tally.flips,
            tally.flips / tally.texts,
            tally.shift / tally.texts,
            tally.texts >= bounds.min_label_texts,
        )
        for label, tally in sorted(totals.labels.items())
    }
    by_traffic = totals.flipped_weight / totals.weight if totals.weight else 0.0
    mean = sum(ordered) / count
    measured = [
        ("label-flip rate", flips / count, bounds.max_flip_rate),
        ("label-flip rate by traffic", by_traffic, bounds.max_flip_rate),
        ("mean score shift", mean, bounds.max_score_shift),
        *(
            (f"label-flip rate of {label}", report.flip_rate, bounds.max_label_flip_rate)
            for label, report in labels.items()
            if report.judged
        ),
    ]
    return Comparison(
        texts=count,
        flips=flips,
        refused=totals.refused,
        flip_rate=flips / count,
        flip_rate_by_traffic=by_traffic,
        score_shift_mean=mean,
        score_shift_p99=ordered[ceil(count * 0.99) - 1],
        score_shift_max=ordered[-1],
        labels=labels,
        # Not `value > bound`: what is no number is above every bound.
        problems=[f"{name} {value:.4f} is above {bound:g}" for name, value, bound in measured if not value <= bound],
    )
