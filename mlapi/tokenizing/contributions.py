"""Says what each word of a text adds to what a linear model over words and pairs of words says of it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from mlapi.tokenizing.ngrams import ANALYSER

Spans: TypeAlias = Sequence[tuple[int, int]]

Weigh: TypeAlias = Callable[[Sequence[int], int], tuple[float, Mapping[int, float]]]
"""Returns, of the ids of a text and a label, what the label has before any word, and what each id adds."""

_WORDS: Final = re.compile(ANALYSER.token_pattern)


@dataclass(frozen=True, slots=True)
class Contributions:
    """Those of one text.

    Attributes:
        ids: of its known terms, each as often as it occurs, after the one that opens every text.
        places: where each of these terms stands: the words that it consists of.
        weigh: what they add.
    """

    ids: Sequence[int]
    places: Sequence[tuple[int, Spans]]
    weigh: Weigh

    def of(self, label: int, spans: Spans) -> tuple[float, list[float | None]]:
        """Return what a label has before any word, and what each span adds; of a pair of words each has half."""
        base, added = self.weigh(self.ids, label)
        counts = Counter(term for term, _ in self.places)
        effects = [0.0] * len(spans)
        for term, words in self.places:
            for start, _ in words:
                (at,) = [index for index, (first, last) in enumerate(spans) if first <= start < last]
                effects[at] += added[term] / counts[term] / len(words)
        return base, [*effects]


def contributions(text: str, id_of: Callable[[str], int | None], weigh: Weigh) -> Contributions | None:
    """Return those of a text; None if its words in lower case stand elsewhere than its own."""
    lowered = text.lower()
    if len(lowered) != len(text):
        return None
    words = [(match[0], match.span()) for match in _WORDS.finditer(lowered)]
    found: list[tuple[int, Spans]] = []
    for word, span in words:
        if (term := id_of(word)) is not None:
            found.append((term, [span]))
    for (word, span), (other, next_span) in pairwise(words):
        if (term := id_of(f"{word} {other}")) is not None:
            found.append((term, [span, next_span]))
    return Contributions([0, *sorted(term for term, _ in found)], found, weigh)
