"""Divides a text into pieces that people would point at: words, or runs of words where there are many."""

import math
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

Spans: TypeAlias = Sequence[tuple[int, int]]

_WORD: Final = re.compile(r"\S+")


def pieces(text: str, tokens: Spans, most: int) -> Spans:
    """Return where the pieces of a text stand, at most so many, in order.

    Args:
        text: the text.
        tokens: where its tokens stand: the pieces of a text that is one word, as those are that part none.
        most: how many pieces there may be.
    """
    words: Spans = [match.span() for match in _WORD.finditer(text)]
    if len(words) == 1 and len(tokens) > 1:
        words = tokens
    size = max(1, math.ceil(len(words) / most))
    return [(words[at][0], words[min(at + size, len(words)) - 1][1]) for at in range(0, len(words), size)]
