"""What a text is, by those who have an opinion on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlapi.feedback.votes import Opinion


class Agreement(StrEnum):
    """How sure the opinions on a text make."""

    AGREED = "agreed"
    """At least two subjects, and more than half of them say the same."""

    SINGLE = "single"
    """One subject."""

    DISPUTED = "disputed"
    """No label has more than half of the subjects: nobody knows what the text is."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One text and the opinions on it.

    Attributes:
        item: the text, by the store's number for it.
        label: what it is, by most; None where it is disputed.
        agreement: how sure that is.
        opinions: one of each subject.
        text: the text, where it is kept.
    """

    item: str
    label: str | None
    agreement: Agreement
    opinions: Sequence[Opinion]
    text: str | None


def judge(opinions: Iterable[Opinion]) -> list[Judgement]:
    """Judge each text by the opinions on it, each subject counting once; in the order of the items."""
    by_item: defaultdict[str, list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        by_item[opinion.item].append(opinion)
    return [_judge(item, by_item[item]) for item in sorted(by_item)]


def _judge(item: str, opinions: Sequence[Opinion]) -> Judgement:
    ((label, most),) = Counter(opinion.label for opinion in opinions).most_common(1)
    agreement = Agreement.AGREED
    if len(opinions) == 1:
        agreement = Agreement.SINGLE
    elif 2 * most <= len(opinions):
        agreement = Agreement.DISPUTED
    return Judgement(
        item, None if agreement is Agreement.DISPUTED else label, agreement, tuple(opinions), opinions[0].text
    )
