"""Which share of a text a tokenizer does not know, where it can tell."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from mlapi.tokenizing.ngrams import NgramTokenizer
from mlapi.tokenizing.tokenizer import HfTokenizer
from tests.checkpoint_tokenizers import Tokens, write_byte_pairs, write_word_pieces


def loaded(write: Callable[[Path, int], Tokens], folder: Path) -> HfTokenizer:
    write(folder, 64)
    return HfTokenizer.load(folder / "tokenizer.json", 64)


def test_word_pieces_count_the_token_that_stands_for_what_they_lack(tmp_path: Path) -> None:
    known, half = loaded(write_word_pieces, tmp_path).encode(["the film", "the \u6620\u753b"])
    assert (known.unknown, len(half.ids)) == (0.0, 5)
    assert half.unknown == 2 / 5


def test_bytes_are_never_unknown_so_that_nothing_is_said(tmp_path: Path) -> None:
    (text,) = loaded(write_byte_pairs, tmp_path).encode(["the \u6620\u753b"])
    assert text.unknown is None


@pytest.mark.parametrize(("fallback", "expected"), [(False, 1.0), (True, None)])
def test_pieces_of_sentences_say_so_unless_bytes_take_their_place(*, fallback: bool, expected: float | None) -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), *((f"<0x{byte:02X}>", -2.0) for byte in range(256) if fallback)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=fallback))
    assert json.loads(tokenizer.to_str())["model"]["unk_id"] == 0
    (text,) = HfTokenizer(tokenizer, 64).encode(["\u6620"])
    assert text.unknown == expected


def test_words_count_and_not_their_pairs() -> None:
    tokenizer = NgramTokenizer(["film", "good", "good film"])
    texts = tokenizer.encode(["good film", "very good film indeed", "zzz", "!"])
    assert [text.unknown for text in texts] == [0.0, 0.5, 1.0, None]
    assert [text.ids for text in texts] == [(0, 1, 2, 3), (0, 1, 2, 3), (0,), (0,)]
