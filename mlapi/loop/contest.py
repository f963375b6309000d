"""Compares a candidate with the champion: on frozen sets by the training's command, on fresh opinions here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from mlapi.classifier import Classifier
from mlapi.feedback.votes import Opinion
from mlapi.learn.evaluation import Said, Subject, compare
from mlapi.learn.judgements import judge

_SURE: Final = 0.95
_LEAST_MARGIN: Final = 0.01
"""A smaller margin asks for no more texts than this one: 299."""


def too_few(sets: Mapping[str, Any], margin: float) -> Iterator[str]:
    """Say which frozen sets cannot show that a candidate is not worse.

    On a handful of texts two models easily agree, and the interval of their difference has no width then. So there must
    be as many texts as it takes for a loss of more than the margin to show on one of them, in 95 of 100 draws of the
    set: ln 0.05 / ln(1 - margin), 149 for 0.02 (Hanley and Lippman-Hand, JAMA 249, 1983, pages 1743 to 1745).

    Args:
        sets: by name, as `training.evaluation` measures them.
        margin: how much accuracy may be lost.
    """
    least = 1 if margin >= 1 else math.ceil(math.log(1 - _SURE) / math.log1p(-max(margin, _LEAST_MARGIN)))
    for name, figures in sets.items():
        texts = figures.get("accuracy", {}).get("of") or 0
        if texts < least:
            yield f"{name} has {texts} texts; {least} are required to show a loss of more than {margin:.4f}"


def on_fresh_opinions(opinions: Sequence[Opinion], candidate: Path, champion: Path) -> Mapping[str, Any] | None:
    """Let both bundles answer the texts that opinions are on; None where there is none.

    Returns:
        The comparison, with what each said of each text, by item.

    Raises:
        ConfigurationError: a bundle cannot be run.
    """
    texts = {opinion.item: opinion.text for opinion in opinions if opinion.text is not None}
    if not texts:
        return None
    with ExitStack() as stack:
        subjects = []
        for folder in (candidate, champion):
            classifier = stack.enter_context(Classifier.open(folder))
            answers = classifier.predict(list(texts.values()))
            said = {item: Said(answer.label, max(answer.scores)) for item, answer in zip(texts, answers, strict=True)}
            subjects.append(Subject(classifier.digest, said))
    ours, theirs = subjects
    known = [judgement for judgement in judge(opinions) if judgement.label is not None]
    items = {item: {"candidate": ours.said[item].label, "champion": theirs.said[item].label} for item in sorted(texts)}
    return {**compare(known, ours, theirs), "items": items}
