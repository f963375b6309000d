"""Tests what a sentiment model has to do whatever it was trained on: negation, names, typos, equal treatment.

The kinds of tests are those of Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList" (ACL
2020); the paired sentences about people follow Kiritchenko and Mohammad, "Examining Gender and Race Bias in Two Hundred
Sentiment Analysis Systems" (*SEM 2018). All sentences are made up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from training.measures import Probabilities, Ratio

Predict: TypeAlias = Callable[[Sequence[str]], Probabilities]

_GOOD: Final = ("good", "great", "wonderful", "funny", "charming", "beautiful", "clever", "moving")
_BAD: Final = ("bad", "terrible", "boring", "dull", "awful", "stupid", "ugly", "annoying")
_THINGS: Final = ("film", "story", "acting", "music", "ending")
_SLACK: Final = 0.05
"""Scores close to 1 cannot rise: so much less is no change of mind."""

_NAMES: Final = ("Anna", "Yusuf", "Mei", "Carlos", "Fatima", "John", "Olga", "Kwame")
_GROUPS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "pronoun": {"he": ("he", "this man", "my brother"), "she": ("she", "this woman", "my sister")},
    "name": {
        "Arabic": ("Yusuf", "Fatima", "Omar"),
        "Chinese": ("Mei", "Wei", "Jing"),
        "English": ("John", "Emily", "Harry"),
        "Spanish": ("Carlos", "Lucia", "Diego"),
    },
}
_ABOUT_PEOPLE: Final = (
    "{} made this film",
    "{} feels angry about it",
    "{} feels happy about it",
    "{} told us about the concert",
    "we met {} at the market",
    "{} found the evening disappointing",
    "{} found the evening delightful",
    "the story is about {}",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One behavioural test: which cases passed, and some that did not."""

    name: str
    says: str
    passed: Ratio
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """How differently two groups are treated in otherwise equal sentences.

    Attributes:
        kind: what tells the groups apart.
        groups: the two.
        mean: mean difference of the positive label's score, first group less second.
        p_value: of the sign test that the difference has either sign with the same probability.
        pairs: how many pairs of sentences.
    """

    kind: str
    groups: tuple[str, str]
    mean: float
    p_value: float
    pairs: int


def behave(predict: Predict, positive: int, negative: int) -> list[Outcome]:
    """Run every behavioural test.

    Args:
        predict: gives the probabilities of texts.
        positive: index of the positive label.
        negative: index of the negative label.
    """
    plain = [(f"the {thing} is {word}", f"the {thing} is not {word}") for thing in _THINGS for word in (*_GOOD, *_BAD)]
    signs = [1 if any(text.endswith(word) for word in _GOOD) else -1 for text, _ in plain]
    lean = _leaning(predict, [text for text, _ in plain], positive, negative)
    turned = _leaning(predict, [text for _, text in plain], positive, negative)
    return [
        _outcome("plain", "a plain statement gets its label", [text for text, _ in plain], lean * signs > 0),
        _outcome("negation", "`not` turns a plain statement round", [text for _, text in plain], turned * signs < 0),
        _names(predict),
        _typos(predict),
        _intensifiers(predict, positive, negative),
    ]


def bias(predict: Predict, positive: int) -> list[Gap]:
    """Compare the scores of sentences that differ only in whom they are about, for each pair of groups."""
    gaps = []
    for kind, groups in _GROUPS.items():
        scores = {
            group: predict([frame.format(who) for frame, who in product(_ABOUT_PEOPLE, people)])[:, positive]
            for group, people in groups.items()
        }
        for first, second in combinations(groups, 2):
            apart = scores[first] - scores[second]
            larger, smaller = int((apart > 0).sum()), int((apart < 0).sum())
            p_value = float(binomtest(larger, larger + smaller).pvalue) if larger + smaller else 1.0
            gaps.append(Gap(kind, (first, second), float(apart.mean()), p_value, len(apart)))
    return gaps


def typo(text: str) -> str:
    """Swap two letters inside the longest word; a word of three letters has none to swap."""
    words = text.split(" ")
    place = max(range(len(words)), key=lambda index: len(words[index]))
    word = words[place]
    middle = len(word) // 2
    if len(word) > 3:  # noqa: PLR2004  see above
        words[place] = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return " ".join(words)


def _names(predict: Predict) -> Outcome:
    frames = [f"{{}} says the {thing} is {word}" for thing in _THINGS for word in (*_GOOD, *_BAD)]
    given = [predict([frame.format(name) for frame in frames]).argmax(axis=1) for name in _NAMES]
    same = np.all(np.array(given) == given[0], axis=0)
    return _outcome("names", "the label is the same whoever is named", frames, same)


def _typos(predict: Predict) -> Outcome:
    texts = [f"a really {word} {thing} that everybody remembers" for thing in _THINGS for word in (*_GOOD, *_BAD)]
    same = predict(texts).argmax(axis=1) == predict([typo(text) for text in texts]).argmax(axis=1)
    return _outcome(
        "typos", "two swapped letters in the longest word change no label", [typo(text) for text in texts], same
    )


def _intensifiers(predict: Predict, positive: int, negative: int) -> Outcome:
    words = [(word, sign) for sign, group in ((1, _GOOD), (-1, _BAD)) for word in group]
    cases = [
        (f"the {thing} is {word}", f"the {thing} is extremely {word}", sign)
        for thing in _THINGS
        for word, sign in words
    ]
    before = _leaning(predict, [case[0] for case in cases], positive, negative)
    after = _leaning(predict, [case[1] for case in cases], positive, negative)
    signs = np.array([case[2] for case in cases])
    return _outcome(
        "intensifiers",
        "`extremely` does not weaken a statement",
        [case[1] for case in cases],
        (after - before) * signs > -_SLACK,
    )


def _leaning(predict: Predict, texts: Sequence[str], positive: int, negative: int) -> Probabilities:
    scores = predict(texts)
    return scores[:, positive] - scores[:, negative]


def _outcome(name: str, says: str, texts: Sequence[str], passed: NDArray[np.bool_]) -> Outcome:
    flags = [bool(flag) for flag in passed]
    failed = [text for text, good in zip(texts, flags, strict=True) if not good]
    return Outcome(name, says, Ratio(sum(flags), len(flags)), tuple(failed[:5]))
