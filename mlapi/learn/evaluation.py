"""Judges a model by opinions: over texts and over opinions, and, from random samples alone, how often it is right.

Opinions are no random sample of anything: people correct more than they confirm. So the figures over all opinions
compare labels and models with each other; how often the model is right is told by the opinions that were asked for at
random, and by them alone.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlapi.feedback.votes import Opinion, Sample, Served
from mlapi.learn.judgements import Agreement, Judgement, judge
from mlapi.learn.measures import (
    Interval,
    bootstrap_macro_f1,
    calibration_error,
    confusion,
    mcnemar,
    of_classes,
    wilson,
)

ENOUGH: Final = 30
"""Fewer asked opinions than these tell nothing that anybody should act on."""


class Said(NamedTuple):
    """What a model says of a text: a label and its probability."""

    label: str
    score: float


class Subject(NamedTuple):
    """The model that is judged.

    Attributes:
        name: its digest, or a bundle's name.
        said: what it says of the texts, by item.
        sampled: the items that opinions were asked for at random, each text alike.
    """

    name: str
    said: Mapping[str, Said]
    sampled: frozenset[str] = frozenset()


def from_served(served: Iterable[Served], digest: str) -> Subject:
    """Return a model by what it said when it was asked."""
    own = [row for row in served if row.model_digest == digest]
    return Subject(
        digest,
        {row.item: Said(row.label, row.score) for row in own},
        frozenset(row.item for row in own if Sample.TEXTS in row.sample),
    )


def evaluate(
    opinions: Sequence[Opinion], subject: Subject, labels: Sequence[str], champion: Subject | None = None
) -> dict[str, Any]:
    """Judge a model.

    Args:
        opinions: the current ones on texts of its name.
        subject: the model.
        labels: its labels, in their order; others that the opinions have come behind them.
        champion: another model to compare it with, on the texts that both have answered.

    Returns:
        The report, of what JSON knows, without NaN.
    """
    judgements = judge(opinions)
    answered = [judgement for judgement in judgements if judgement.item in subject.said]
    known = [judgement for judgement in answered if judgement.label is not None]
    of_answered = [opinion for judgement in answered for opinion in judgement.opinions]
    everything = [*labels, *sorted({opinion.label for opinion in opinions} - set(labels))]
    everything += sorted({said.label for said in subject.said.values()} - set(everything))
    report = {
        "model": subject.name,
        "opinions": len(of_answered),
        "subjects": len({opinion.subject for opinion in of_answered}),
        "texts": {"judged": len(answered)}
        | {kind.value: sum(found.agreement is kind for found in answered) for kind in Agreement},
        "by_text": _view(
            [str(judgement.label) for judgement in known],
            [subject.said[judgement.item] for judgement in known],
            everything,
        ),
        "by_opinion": _view(
            [opinion.label for opinion in of_answered],
            [subject.said[opinion.item] for opinion in of_answered],
            everything,
        ),
        "asked": asked(opinions, subject),
    }
    if champion is not None:
        report["against"] = compare(known, subject, champion)
    return report


def asked(opinions: Sequence[Opinion], subject: Subject) -> dict[str, Any]:
    """Say how often a model is right, by the opinions that were asked for at random: by text, and by request."""
    known = [found for found in judge(opinions) if found.item in subject.said and found.label is not None]
    return {
        "texts": _asked(
            [found.label == subject.said[found.item].label for found in known if found.item in subject.sampled]
        ),
        "requests": _asked(
            [
                opinion.label == opinion.served_label
                for opinion in opinions
                if opinion.item in subject.said
                and Sample.REQUESTS in opinion.sample
                and opinion.model_digest == subject.name
            ]
        ),
    }


def latest_digest(opinions: Iterable[Opinion]) -> str | None:
    """Return the digest of the model that the latest opinion is about; None where there is none."""
    latest = max(opinions, key=lambda opinion: opinion.time_ms, default=None)
    return latest and latest.model_digest


def _view(truth: Sequence[str], said: Sequence[Said], labels: Sequence[str]) -> dict[str, Any]:
    """Measure what was said against what is so."""
    right = [answer.label == label for answer, label in zip(said, truth, strict=True)]
    answers = [answer.label for answer in said]
    counts = confusion(truth, answers, labels)
    shares = Counter(answers)
    return {
        "count": len(truth),
        # Of a sample that nobody drew at random: it must not be read as how often the model is right.
        "agreement": _interval(wilson(sum(right), len(right))),
        "macro_f1": _interval(bootstrap_macro_f1(truth, answers, labels)),
        "calibration_error": calibration_error([answer.score for answer in said], right) if truth else None,
        "classes": {
            label: dict(measures._asdict(), said=shares[label])
            for label, measures in zip(labels, of_classes(counts), strict=True)
        },
        "confusion": {
            label: {other: int(counts[row, column]) for column, other in enumerate(labels)}
            for row, label in enumerate(labels)
        },
    }


def _asked(right: Sequence[bool]) -> dict[str, Any]:
    return {
        "count": len(right),
        "accuracy": _interval(wilson(sum(right), len(right))),
        "enough": len(right) >= ENOUGH,
    }


def compare(known: Sequence[Judgement], subject: Subject, champion: Subject) -> dict[str, Any]:
    """Compare two models on the texts of `known` that both have answered."""
    both = [judgement for judgement in known if judgement.item in champion.said]
    pairs = Counter(
        (
            subject.said[judgement.item].label == judgement.label,
            champion.said[judgement.item].label == judgement.label,
        )
        for judgement in both
    )
    return {
        "model": champion.name,
        "texts": len(both),
        "only_this_right": pairs[True, False],
        "only_other_right": pairs[False, True],
        "p_value": mcnemar(pairs[True, False], pairs[False, True]) if both else None,
    }


def _interval(interval: Interval) -> dict[str, float] | None:
    """Return an interval as JSON has it; None where there is nothing to have a share of."""
    return None if math.isnan(interval.value) else dict(interval._asdict())
