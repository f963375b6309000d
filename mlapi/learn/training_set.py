"""Chooses the texts to learn from: known, agreed on, and not the work of a few."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from mlapi.feedback.votes import Opinion
from mlapi.learn.judgements import Agreement, Judgement, judge

SUBJECT_SHARE: Final = 0.05


class Example(msgspec.Struct, frozen=True):
    """One text to learn from.

    Attributes:
        text: the text.
        label: what it is.
        item: the store's number for it.
        subjects: how many subjects have an opinion on it.
        agreed: how many of them say so.
    """

    text: str
    label: str
    item: str
    subjects: int
    agreed: int


class TrainingSet(NamedTuple):
    """Texts to learn from, and why others are not among them.

    Attributes:
        lines: JSON Lines, one example each, by item.
        digest: SHA-256 of all of them, 64 hexadecimal digits.
        labels: how many texts there are of each label.
        left_out: how many judged texts are not there, by reason.
        largest_share: the largest share of the texts that rest on a single subject: that without its opinion would not
            be there, or with another label.
    """

    lines: bytes
    digest: str
    labels: dict[str, int]
    left_out: dict[str, int]
    largest_share: float


def choose(
    opinions: Iterable[Opinion], *, single: bool = True, subject_share: float = SUBJECT_SHARE, decisive: bool = False
) -> TrainingSet:
    """Choose.

    Args:
        opinions: the current ones on texts of one model name.
        single: whether a text that one subject alone has an opinion on counts.
        subject_share: of all chosen texts, the most that may rest on one subject: that are there only because of its
            opinion. What goes beyond is left out, the same texts for the same opinions. One is always let be.
        decisive: whether a text that several agree on rests on each of them without whom they would not.
    """
    left_out: Counter[str] = Counter()
    chosen: list[tuple[Example, frozenset[str]]] = []
    for judgement in judge(opinions):
        if judgement.text is None:
            left_out["not kept"] += 1
        elif judgement.label is None:
            left_out["disputed"] += 1
        elif judgement.agreement is Agreement.SINGLE and not single:
            left_out["single"] += 1
        else:
            agreed = sum(opinion.label == judgement.label for opinion in judgement.opinions)
            example = Example(judgement.text, judgement.label, judgement.item, len(judgement.opinions), agreed)
            chosen.append((example, _rests_on(judgement, agreed, single=single)))
    bounded = [(example, of if decisive or example.subjects == 1 else frozenset()) for example, of in chosen]
    places = _bound([of for _, of in bounded], subject_share)
    kept = [chosen[place][0] for place in places]
    counts = Counter(subject for place in places for subject in chosen[place][1])
    left_out["of one subject beyond its share"] = len(chosen) - len(kept)
    lines = b"".join(msgspec.json.encode(example) + b"\n" for example in kept)
    return TrainingSet(
        lines,
        hashlib.sha256(lines).hexdigest(),
        dict(sorted(Counter(example.label for example in kept).items())),
        {reason: count for reason, count in sorted(left_out.items()) if count},
        max(counts.values(), default=0) / len(kept) if kept else 0.0,
    )


def _rests_on(judgement: Judgement, agreed: int, *, single: bool) -> frozenset[str]:
    """Return the subjects without any one of whom a text would not be chosen, or with another label."""
    others = len(judgement.opinions) - agreed
    without_one = agreed - 1
    stands = 2 * without_one > without_one + others and (without_one + others > 1 or single)
    if stands:
        return frozenset()
    return frozenset(opinion.subject for opinion in judgement.opinions if opinion.label == judgement.label)


def _bound(rests_on: Sequence[frozenset[str]], share: float) -> list[int]:
    """Return the places of what stays when nobody has more than its share of what is left, which shrinks meanwhile."""
    allowed = len(rests_on)
    while True:
        taken: Counter[str] = Counter()
        kept = []
        for place, subjects in enumerate(rests_on):
            if all(taken[subject] < allowed for subject in subjects):
                taken.update(subjects)
                kept.append(place)
        # A single text is no more than anybody's share, however few there are.
        bound = max(1, int(share * len(kept)))
        if bound >= allowed:
            return kept
        allowed = min(bound, allowed - 1)
