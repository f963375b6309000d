"""Compares a tokenizer that `transformers` made from a model of SentencePiece with SentencePiece itself."""

import random
from pathlib import Path
from typing import Any, Final

import sentencepiece

from mlapi.errors import BundleError

_SEED: Final = 7
_TEXTS: Final = 20
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


def compare_conversion(tokenizer: Any, max_tokens: int) -> None:  # noqa: ANN401  a tokenizer of any kind
    """Compare how both cut texts into pieces; does nothing for a tokenizer that was not converted.

    Texts are made of the model's own pieces: how characters are handled that no piece has is left to each library.

    Args:
        tokenizer: of `transformers`, as loaded from a checkpoint.
        max_tokens: how many words the texts have at most.

    Raises:
        BundleError: a text has other pieces; the model was trained on those of SentencePiece.
    """
    source = getattr(tokenizer, "vocab_file", None)
    if not source or not source.endswith(".model") or (Path(source).parent / "tokenizer.json").exists():
        return
    own = sentencepiece.SentencePieceProcessor(model_file=source)
    words = [piece.strip(_SPACE) for piece in map(own.id_to_piece, range(own.get_piece_size()))]
    words = [word for word in words if word.isalpha()]
    draw = random.Random(_SEED)  # noqa: S311  reproducible, not secret
    for length in (draw.randint(1, max_tokens) for _ in range(_TEXTS)):
        text = " ".join(draw.choices(words or ["a"], k=length))
        if tokenizer.tokenize(text) != own.encode(text, out_type=str):
            name = Path(source).name
            msg = f"transformers' conversion of {name} does not cut texts as SentencePiece does: {text[:60]!r}"
            raise BundleError(msg)
