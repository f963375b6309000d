"""Makes the texts that load tests send: seeded, of exactly known token counts, popular as Zipf's law says.

A text is made of whole words of the model's own vocabulary, so it has as many tokens as words, and the two special
tokens around them. Its content is nonsense: what it costs depends on its length alone.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Final

BLOCK: Final = 256
"""Texts after which a mixed stream has shown its whole distribution of lengths."""

MEDIAN: Final = 20
SIGMA: Final = 1.0
SHORTEST: Final = 4
LONGEST: Final = 500

_SPECIAL: Final = 2
_WORD: Final = re.compile(r"[a-z]{3,}")


def read_words(tokenizer: Path) -> tuple[str, ...]:
    """Return the whole words of a `tokenizer.json`'s WordPiece vocabulary: each of them is one token.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file.
    """
    try:
        vocabulary = json.loads(tokenizer.read_bytes())["model"]["vocab"]
        words = tuple(sorted(word for word in vocabulary if _WORD.fullmatch(word)))
    except (KeyError, TypeError) as error:
        msg = f"{tokenizer} holds no vocabulary"
        raise ValueError(msg) from error
    if not words:
        msg = f"the vocabulary of {tokenizer} has no whole words"
        raise ValueError(msg)
    return words


def mixed_lengths() -> tuple[int, ...]:
    """Return one block of token counts: evenly spaced quantiles of a log-normal distribution, rising.

    Median 20 tokens, standard deviation of the logarithm 1, at least 4; the last one, which stands for the tail, is
    500. Quantiles and not draws, so that every whole block is exactly as much work as any other.
    """
    normal = NormalDist()
    quantiles = [MEDIAN * 2.718281828459045 ** (SIGMA * normal.inv_cdf((i + 0.5) / BLOCK)) for i in range(BLOCK - 1)]
    return (*(max(SHORTEST, round(quantile)) for quantile in quantiles), LONGEST)


class Traffic:
    """A seeded source of texts; the same words and seed always give the same texts."""

    def __init__(self, words: Sequence[str], seed: str) -> None:
        self._words = words
        self._random = Random(seed)  # noqa: S311  reproducible, not secret

    def text(self, tokens: int) -> str:
        """Return a fresh text of so many tokens, special ones included.

        Raises:
            ValueError: fewer than three tokens: no room for a word.
        """
        if tokens <= _SPECIAL:
            msg = f"{tokens} tokens leave no room for a word"
            raise ValueError(msg)
        return " ".join(self._random.choices(self._words, k=tokens - _SPECIAL))

    def texts(self, tokens: int) -> Iterator[str]:
        """Yield fresh texts of one length, without end."""
        while True:
            yield self.text(tokens)

    def mixed(self) -> Iterator[str]:
        """Yield fresh texts without end: the lengths of `mixed_lengths`, over and over, each time in another order."""
        lengths = list(mixed_lengths())
        while True:
            self._random.shuffle(lengths)
            for tokens in lengths:
                yield self.text(tokens)

    def popular(self, known: Sequence[str], hit_ratio: float, fresh: Iterator[str]) -> Iterator[str]:
        """Yield a known text with probability `hit_ratio`, else a fresh one.

        Among the known ones the k-th is asked for 1/k as often as the first (Zipf's law).
        """
        weights = list(accumulate(1 / rank for rank in range(1, len(known) + 1)))
        while True:
            if self._random.random() < hit_ratio:
                yield self._random.choices(known, cum_weights=weights)[0]
            else:
                yield next(fresh)
