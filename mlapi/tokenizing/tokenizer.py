"""Text to token ids with the model's own tokenizer, and text to the canonical form that has the same ids."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mlapi.errors import BundleError
from mlapi.predictions import EncodedText, TokenizedText
from mlapi.tokenizing.plain_text import plain_forms
from mlapi.tokenizing.windows import windows

FILE: Final = "tokenizer.json"

NORMALISATION_VERSION: Final = "2"
"""Part of the model digest: changes whenever `normalise` could map a text to another form than before."""

_VERBATIM: Final = "\0"
"""Opens the form of a text that is kept as it is. The tokenizer's normaliser removes NUL, so no other form has it."""


_FEW: Final = 16
"""So many texts are not worth a look at all of them together."""


class HfTokenizer:
    """A tokenizer in the format of Hugging Face `tokenizers` (`tokenizer.json`)."""

    def __init__(self, tokenizer: RustTokenizer, max_tokens: int) -> None:
        """Wrap a tokenizer; texts are cut to `max_tokens`, special tokens included, at the end that it names."""
        tokenizer.no_padding()
        side = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(max_length=max_tokens, direction=side)
        self._tokenizer = tokenizer
        self._unknown = _unknown_id(tokenizer)
        self._room = max(1, max_tokens - tokenizer.num_special_tokens_to_add(is_pair=False))
        added = tuple(tokenizer.get_added_tokens_decoder().values())
        self._added = re.compile("|".join(re.escape(token.content) for token in added) or r"(?!)")
        self._added_openings = {token.content[:1] for token in added}
        normaliser = tokenizer.normalizer
        # One that keeps control characters keeps U+001C to U+001F, at which Python parts words and WordPiece does not.
        bert = isinstance(normaliser, BertNormalizer) and (
            normaliser.clean_text and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        )
        plain = all(not (token.normalized or token.single_word) for token in added)
        self._foldable = bert and plain
        self._lowercase = self._foldable and normaliser.lowercase
        table = bytes(range(256))
        brackets = self._added_openings <= {"["}
        self.ascii_fold = (table.lower() if self._lowercase else table) if self._foldable and brackets else None

    @classmethod
    def load(cls, path: Path, max_tokens: int | None) -> Self:
        """Read a `tokenizer.json`.

        Raises:
            BundleError: the file cannot be read as a tokenizer, or nothing says how many tokens the model reads.
        """
        if max_tokens is None:
            msg = f"a model with a {path.name} needs max_tokens"
            raise BundleError(msg)
        try:
            tokenizer = RustTokenizer.from_file(str(path))
        except Exception as error:  # the Rust binding raises bare Exception for whatever is wrong with the file
            msg = f"{path.name} is not a tokenizer: {error}"
            raise BundleError(msg) from error
        return cls(tokenizer, max_tokens)

    def normalise(self, text: str) -> str:
        """Return the canonical form of a text, empty if there is nothing in it to read.

        For BERT's WordPiece the canonical form is what the tokenizer's own normaliser makes of the text (Unicode form,
        case, accents, control characters), with runs of white space made one space, because the tokenizer splits there
        and nowhere else looks at it. Two exceptions keep a text as it is: one that spells an added token such as
        `[SEP]`, which the tokenizer matches before it normalises, and any tokenizer of another kind, one whose
        normaliser does not remove control characters included.
        """
        if not self._foldable:
            return "" if not text or text.isspace() else text
        if self._added.search(text):
            return _VERBATIM + text
        if text.isascii() and text.isprintable():
            folded = text.lower() if self._lowercase else text
            # Of printable ASCII, only the space is white. To split and join takes longer than all the rest.
            if "  " not in folded and folded[:1] != " " and folded[-1:] != " ":
                return folded
        else:
            folded = self._tokenizer.normalizer.normalize_str(text)
        return " ".join(folded.split())

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        """Return what `normalise` makes of each text, in UTF-8."""
        if len(texts) > _FEW and self._foldable:
            # A look for the first character of an added token alone is the fastest there is.
            forms = plain_forms(texts, lowercase=self._lowercase, openings=self._added_openings)
            if forms is not None:
                return forms
            # What is not plain is seldom everywhere.
            middle = len(texts) // 2
            return self.canonical_forms(texts[:middle]) + self.canonical_forms(texts[middle:])
        return [self.normalise(text).encode() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise texts, cutting each to the model's maximum as the tokenizer itself does."""
        found = []
        for encoding in self._tokenizer.encode_batch_fast(list(texts)):
            ids = tuple(encoding.ids)
            unknown = None if self._unknown is None or not ids else ids.count(self._unknown) / len(ids)
            found.append(EncodedText(ids, bool(encoding.overflowing), unknown))
        return found

    def inspect(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenise texts as `encode` does, and say what each token is and where it stands."""
        return [
            TokenizedText(
                tuple(encoding.ids),
                tuple(encoding.tokens),
                tuple(
                    None if special else span
                    for span, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
                ),
                bool(encoding.overflowing),
            )
            for encoding in self._tokenizer.encode_batch(list(texts))
        ]

    def windows(self, texts: Sequence[str]) -> list[list[str]]:
        """Cut texts that are longer than the model reads into windows."""
        found = [[text] for text in texts]
        # No tokenizer makes more tokens of a text than it has bytes.
        long = [index for index, text in enumerate(texts) if len(text.encode()) > self._room]
        encodings = self._tokenizer.encode_batch([texts[index] for index in long])
        for index, encoding in zip(long, encodings, strict=True):
            if encoding.overflowing:
                spans = sorted(
                    span
                    for part in (encoding, *encoding.overflowing)
                    for span, special in zip(part.offsets, part.special_tokens_mask, strict=True)
                    if not special
                )
                found[index] = windows(texts[index], spans, self._room)
        return found


def _unknown_id(tokenizer: RustTokenizer) -> int | None:
    """Return the token that stands for what the vocabulary lacks; None if none does, as where bytes are tokens."""
    if isinstance(tokenizer.model, WordPiece | WordLevel):
        return tokenizer.token_to_id(tokenizer.model.unk_token)
    # The library tells this of other models only together with their whole vocabulary, which takes long to read.
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("byte_fallback"):
        return None
    if model["type"] == "Unigram":
        unknown: int | None = model.get("unk_id")
        return unknown
    token = model.get("unk_token")
    return tokenizer.token_to_id(token) if token else None
