"""Texts to the numbers of the known words and word pairs in them, as scikit-learn's `TfidfVectorizer` finds them."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from mlapi.errors import BundleError
from mlapi.predictions import EncodedText, TokenizedText

FILE: Final = "vocabulary.json"

NORMALISATION_VERSION: Final = "ngrams 1"
"""Part of the model digest: changes whenever `normalise` could map a text to another form than before."""

INTERCEPT: Final = 0
"""The id that opens every text: a text without a known term is scored by the model's intercept alone."""

_WORDLESS: Final = "."
"""The form of a text without a word. No word has this character, so no other text has this form."""


class Analyser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a text is taken apart and its terms are weighted; the names and values are those of `TfidfVectorizer`.

    See https://scikit-learn.org/stable/modules/generated/sklearn.feature_extraction.text.TfidfVectorizer.html.
    """

    lowercase: bool = True
    strip_accents: None = None
    token_pattern: str = r"(?u)\b\w\w+\b"  # noqa: S105  a pattern of words, not of secrets
    ngram_range: tuple[int, int] = (1, 2)
    sublinear_tf: bool = True
    smooth_idf: bool = True
    norm: Literal["l2"] = "l2"


ANALYSER: Final = Analyser()
"""The one analyser that `NgramTokenizer` and the engine `linear` implement."""

_words = re.compile(ANALYSER.token_pattern).findall


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `vocabulary.json`: the analyser, and the known terms. The id of a term is its place, from 1."""

    analyser: Analyser
    terms: list[str]


class NgramTokenizer:
    """Finds a text's terms: its words of two characters or more in lower case, and pairs of neighbours among them.

    The ids of a text are 0, then those of its known terms, rising, each as often as the term occurs. Texts of every
    length are read to their end.
    """

    ascii_fold = None

    def __init__(self, terms: Sequence[str]) -> None:
        self.id_of = self._id_of = {term: number for number, term in enumerate(terms, start=1)}.get
        self._terms = ("", *terms)

    @classmethod
    def load(cls, path: Path, max_tokens: int | None) -> Self:
        """Read a `vocabulary.json`.

        Raises:
            BundleError: the file cannot be read, its analyser is another one, or the manifest bounds the tokens.
        """
        try:
            vocabulary = msgspec.json.decode(path.read_bytes(), type=Vocabulary)
        except (OSError, msgspec.DecodeError) as error:
            msg = f"{path.name} is not a vocabulary: {error}"
            raise BundleError(msg) from error
        if vocabulary.analyser != ANALYSER:
            msg = f"{path.name} is for another analyser than {msgspec.json.encode(ANALYSER).decode()}"
            raise BundleError(msg)
        if max_tokens is not None:
            msg = f"a model with a {path.name} reads texts of every length: max_tokens must be null"
            raise BundleError(msg)
        return cls(vocabulary.terms)

    def normalise(self, text: str) -> str:
        """Return the canonical form of a text, empty if it is empty or white space.

        That is its words in lower case, one space between them: the terms follow from these words and their order.
        """
        words = _words(text.lower())
        if words:
            return " ".join(words)
        return "" if not text or text.isspace() else _WORDLESS

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        """Return what `normalise` makes of each text, in UTF-8."""
        return [self.normalise(text).encode() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return the ids of each text; none is truncated."""
        return [self._read(text) for text in texts]

    def inspect(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return the ids and terms of each text: their order is not the text's, so they have no place in it."""
        found = []
        for text in texts:
            ids = self._read(text).ids
            found.append(TokenizedText(ids, tuple(self._terms[number] for number in ids), None, truncated=False))
        return found

    def windows(self, texts: Sequence[str]) -> list[list[str]]:
        """Return each text as its one window: no text is too long."""
        return [[text] for text in texts]

    def _read(self, text: str) -> EncodedText:
        words = _words(text.lower())
        # No term has the id 0, so that `filter` drops the unknown ones alone.
        ids = [*filter(None, map(self._id_of, words))]
        unknown = (len(words) - len(ids)) / len(words) if words else None
        ids += filter(None, map(self._id_of, map(" ".join, pairwise(words))))
        return EncodedText((INTERCEPT, *sorted(ids)), truncated=False, unknown=unknown)
