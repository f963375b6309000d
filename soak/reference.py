"""Texts, and what the models say of them, computed before the service is asked."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mlapi.classifier import Classifier
from tests.e2e.dialects import Scores

_WORDS: Final = """
the a this that film movie plot acting scene ending story music cast script director camera it was is seemed felt
looked and but or not never hardly very quite rather too so good great fantastic moving funny clever warm bright
bad dull terrible boring slow empty cheap cold loud long short new old first last two hours minutes of in with by
from without nothing everything nobody everyone who what where when why how again once always sometimes
"""
_ODD: Final = (
    "Ein großartiger Film 🎬",
    'with "marks", commas',
    "a\nsecond line",
    "\u0000",
    "ﬁn de siècle",
    "\uff37\uff29\uff24\uff25",
    "½",
)
_LONGEST: Final = 40
_TRUNCATED: Final = 700


def make_texts(count: int, seed: int) -> list[str]:
    """Return different texts: most short, some odd, a few longer than a model reads."""
    rng = random.Random(seed)  # noqa: S311  texts, not secrets
    vocabulary = _WORDS.split()
    texts: set[str] = set()
    while len(texts) < count:
        words = rng.choices(vocabulary, k=_TRUNCATED if rng.random() < 1 / 200 else rng.randint(1, _LONGEST))
        if rng.random() < 1 / 10:
            words.insert(rng.randrange(len(words)), rng.choice(_ODD))
        texts.add(" ".join(words))
    return sorted(texts)


class Reference:
    """The right answers.

    Attributes:
        texts: of each model, by its root; the first are asked for most often.
    """

    def __init__(self, bundles: Mapping[str, Path], *, count: int, seed: int) -> None:
        """Ask models, by the roots that they will be served at, for texts that are made of `seed`."""
        self.texts: dict[str, Sequence[str]] = {}
        self._scores: dict[str, dict[str, Scores]] = {}
        for place, (root, bundle) in enumerate(bundles.items()):
            texts = make_texts(count, seed + place)
            random.Random(seed).shuffle(texts)  # noqa: S311  texts, not secrets
            with Classifier.open(bundle) as classifier:
                answers = classifier.predict(texts)
                self._scores[root] = {
                    text: dict(zip(classifier.labels, answer.scores, strict=True))
                    for text, answer in zip(texts, answers, strict=True)
                }
            self.texts[root] = texts

    def scores(self, root: str, texts: Sequence[str], *, best_only: bool = False) -> list[Scores]:
        """Return what is right; of each text the best label alone if so wished."""
        known = self._scores[root]
        if not best_only:
            return [known[text] for text in texts]
        return [dict([max(known[text].items(), key=lambda item: item[1])]) for text in texts]
