"""Compares a candidate with the champion: on frozen sets by the training's command, on fresh opinions here."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mlapi.classifier import Classifier
from mlapi.feedback.votes import Opinion
from mlapi.learn.evaluation import Said, Subject, compare
from mlapi.learn.judgements import judge


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
