"""Chooses the texts to learn from: known, agreed on, and not the work of a few."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from mlapi.feedback.votes import Opinion
from mlapi.learn.judgements import Agreement, judge

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
    """

    lines: bytes
    digest: str
    labels: dict[str, int]
    left_out: dict[str, int]


def choose(opinions: Iterable[Opinion], *, single: bool = True, subject_share: float = SUBJECT_SHARE) -> TrainingSet:
    """Choose.

    Args:
        opinions: the current ones on texts of one model name.
        single: whether a text that one subject alone has an opinion on counts.
        subject_share: of all chosen texts, the most that may rest on one subject: that are there only because of its
            opinion. What goes beyond is left out, the same texts for the same opinions. One is always let be.
    """
    left_out: Counter[str] = Counter()
    chosen: list[tuple[Example, str | None]] = []
    for judgement in judge(opinions):
        if judgement.text is None:
            left_out["not kept"] += 1
        elif judgement.label is None:
            left_out["disputed"] += 1
        elif judgement.agreement is Agreement.SINGLE and not single:
            left_out["single"] += 1
        else:
            agreed = sum(opinion.label == judgement.label for opinion in judgement.opinions)
            rests_on = judgement.opinions[0].subject if len(judgement.opinions) == 1 else None
            example = Example(judgement.text, judgement.label, judgement.item, len(judgement.opinions), agreed)
            chosen.append((example, rests_on))
    kept = _bound(chosen, subject_share)
    left_out["of one subject beyond its share"] = len(chosen) - len(kept)
    lines = b"".join(msgspec.json.encode(example) + b"\n" for example in kept)
    return TrainingSet(
        lines,
        hashlib.sha256(lines).hexdigest(),
        dict(sorted(Counter(example.label for example in kept).items())),
        {reason: count for reason, count in sorted(left_out.items()) if count},
    )


def _bound(chosen: Sequence[tuple[Example, str | None]], share: float) -> list[Example]:
    """Leave out what rests on one subject beyond its share of what is left, which shrinks meanwhile."""
    of_subject = Counter(subject for _, subject in chosen if subject is not None)
    others = sum(subject is None for _, subject in chosen)
    allowed = len(chosen)
    while True:
        total = others + sum(min(count, allowed) for count in of_subject.values())
        # A single text is no more than anybody's share, however few there are.
        bound = max(1, int(share * total))
        if bound >= allowed or not of_subject:
            break
        allowed = min(bound, allowed - 1)
    taken: Counter[str] = Counter()
    kept = []
    for example, subject in chosen:
        if subject is not None:
            taken[subject] += 1
            if taken[subject] > allowed:
                continue
        kept.append(example)
    return kept
