"""The protocol that every tokenizer keeps."""

from collections.abc import Sequence
from typing import Protocol

from mlapi.predictions import EncodedText, TokenizedText


class Tokenizer(Protocol):
    """Texts to token ids, and texts to the canonical forms that have the same token ids."""

    @property
    def ascii_fold(self) -> bytes | None:
        """A table for `bytes.translate` that gives the canonical form of plain ASCII text; None if there is none.

        Plain is text of printable ASCII without `[`, whose words are parted by single spaces, with none at its ends.
        """

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        """Return a canonical form of each text: texts with the same form have the same token ids, whatever differs.

        The form of a text depends on that text alone, and is empty if there is nothing in it to read.
        """

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise texts, truncating each as the model's own tokenizer does."""


class ReadingTokenizer(Tokenizer, Protocol):
    """A tokenizer that also says what it reads where."""

    def inspect(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenise texts as `encode` does, and say what each token is."""

    def windows(self, texts: Sequence[str]) -> list[list[str]]:
        """Cut texts that are longer than the model reads into parts that are not; see `mlapi.tokenizing.windows`."""
