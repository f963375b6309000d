"""Compares a tokenizer that `transformers` made from a model of SentencePiece with SentencePiece itself."""

import random
from pathlib import Path
from typing import Any, Final

import sentencepiece

from mlapi.errors import BundleError

_SEED: Final = 7
_TEXTS: Final = 200
_WORDS: Final = 8
_TOLERATED: Final = 0.01
"""Both libraries add up scores in floating point, so that where two ways to cut tie, each may take another."""

_SPACE: Final = "\u2581"


def check_models(folder: Path) -> None:
    """Check that SentencePiece can read the models of a checkpoint that has no other form of its tokenizer.

    Raises:
        BundleError: it cannot; `transformers` would take the file for one of another library, and advise to install it.
    """
    if (folder / "tokenizer.json").exists() or (folder / "vocab.txt").exists():
        return
    for path in sorted(folder.glob("*.model")):
        try:
            sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            msg = (
                f"{path.name} is no model of SentencePiece; if it is one of another library, load the tokenizer "
                "where that is installed, and write tokenizer.json with save_pretrained"
            )
            raise BundleError(msg) from error


def compare_conversion(tokenizer: Any) -> None:  # noqa: ANN401  a tokenizer of any kind
    """Compare how both cut texts into pieces; does nothing for a tokenizer that was not converted.

    Texts are made of those of the model's own pieces that the tokenizer's normaliser leaves alone: what is done before
    cutting, and with characters that no piece has, is left to each library.

    Args:
        tokenizer: of `transformers`, as loaded from a checkpoint.

    Raises:
        BundleError: more than one text in a hundred has other pieces; the model was trained on those of SentencePiece.
    """
    source = getattr(tokenizer, "vocab_file", None)
    if not source or not source.endswith(".model") or (Path(source).parent / "tokenizer.json").exists():
        return
    own = sentencepiece.SentencePieceProcessor(model_file=source)
    normaliser = tokenizer.backend_tokenizer.normalizer
    words = [piece.strip(_SPACE) for piece in map(own.id_to_piece, range(own.get_piece_size()))]
    words = [word for word in words if word.isalpha() and _stays(word, normaliser)] or ["a"]
    draw = random.Random(_SEED)  # noqa: S311  reproducible, not secret
    texts = [" ".join(draw.choices(words, k=draw.randint(1, _WORDS))) for _ in range(_TEXTS)]
    other = [text for text in texts if tokenizer.tokenize(text) != own.encode(text, out_type=str)]
    if len(other) > _TOLERATED * len(texts):
        name = Path(source).name
        msg = (
            f"transformers' conversion of {name} does not cut texts as SentencePiece does: {len(other)} of {len(texts)}"
            f" differ, such as {other[0]!r}"
        )
        raise BundleError(msg)


def _stays(word: str, normaliser: Any) -> bool:  # noqa: ANN401  of any kind, or none
    return normaliser is None or normaliser.normalize_str(word).strip(_SPACE) == word
