"""Chooses, of the texts that people have opinions on, those to learn from and those to judge with."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from mlapi.feedback.votes import Opinion
from mlapi.learn.judgements import Agreement, judge
from mlapi.learn.training_set import TrainingSet, choose
from mlapi.loop.plan import Snapshot

_PARTS: Final = 2**32


def judges(item: str, share: float) -> bool:
    """Tell whether a text judges, and is never learned from.

    Items are random numbers of the store, so nobody who sends texts can choose; and an item is always on one side, so
    that what one model is judged with, the models before it have not learned, either.
    """
    drawn = int.from_bytes(blake2b(item.encode(), digest_size=4, person=b"mlapi judging").digest(), "big")
    return drawn < share * _PARTS


def to_learn_from(opinions: Iterable[Opinion], snapshot: Snapshot) -> TrainingSet:
    """Choose the texts to learn from."""
    own = [opinion for opinion in opinions if not judges(opinion.item, snapshot.judging)]
    return choose(own, single=snapshot.single, subject_share=snapshot.subject_share, decisive=True)


def to_judge_with(opinions: Iterable[Opinion], snapshot: Snapshot, learned: frozenset[str]) -> list[Opinion]:
    """Choose the opinions on texts that several subjects agree on, that are kept, and that were not learned from."""
    chosen: list[Opinion] = []
    own: Sequence[Opinion] = [opinion for opinion in opinions if judges(opinion.item, snapshot.judging)]
    for judgement in judge(own):
        known = judgement.agreement is Agreement.AGREED and judgement.text is not None
        if known and judgement.text not in learned:
            chosen += judgement.opinions
    return chosen
