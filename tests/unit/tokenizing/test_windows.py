"""Windows fit, hold every token, end at sentences where they can, and move little when a text is edited."""

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.model import load_tokenizer
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from mlapi.tokenizing.base import ReadingTokenizer
from mlapi.tokenizing.windows import windows

ROOM = 510
SENTENCE = re.compile(r"(?<=[.!?])\s+")


def word_spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


endings = st.lists(st.sampled_from(["", "", ",", ".", "!", "\n", '."', "\u3002", "x" * 40]), max_size=300)


@given(endings, st.integers(1, 60))
def test_windows_fit_and_hold_every_token_in_order(endings: list[str], room: int) -> None:
    text = " ".join(f"w{number}{ending}" for number, ending in enumerate(endings))
    found = windows(text, word_spans(text), room)
    if len(word_spans(text)) <= room:
        assert found == [text]
        return
    assert all(0 < len(word_spans(window)) <= room for window in found)
    # Each window goes on where the one before it ended, or repeats some of its end.
    end = 0
    for window in found:
        if len(window) > 1:
            begin = text.index(window)
            assert not text[end:begin].strip()
            assert begin + len(window) > end
        else:  # a room so small that a window may be a full stop
            begin = text.index(window, end)
        end = begin + len(window)
    assert not text[end:].strip()


def test_windows_end_at_sentences_and_repeat_some_of_what_was_before() -> None:
    text = " ".join(f"This is the sentence of number {number} here." for number in range(200))
    found = windows(text, word_spans(text), 100)
    assert len(found) > 15
    assert all(window.endswith(".") and window.startswith("This") for window in found)
    overlaps = [set(SENTENCE.split(one)) & set(SENTENCE.split(other)) for one, other in pairwise(found)]
    assert all(len(overlap) == 1 for overlap in overlaps)


def test_text_without_sentences_or_words_is_cut_all_the_same() -> None:
    words = " ".join(f"word{number}" for number in range(500))
    assert all(window.startswith("word") for window in windows(words, word_spans(words), 50))
    wide = "\u597d\u7535\u5f71\u3002" * 100
    found = windows(wide, [(index, index + 1) for index in range(len(wide))], 50)
    assert all(window.endswith("\u3002") for window in found)
    solid = "x" * 500
    assert "".join(windows(solid, [(index, index + 1) for index in range(500)], 50)) == solid


@pytest.fixture(scope="module")
def tokenizer() -> ReadingTokenizer:
    return load_tokenizer(DEFAULT_BUNDLE)[1]


@pytest.fixture(scope="module")
def review() -> str:
    """A review of 3 000 tokens, of real ones."""
    folder = os.environ.get("SHARED_DIR")
    file = Path(folder) / "data" / "imdb_long.tsv" if folder else None
    if file is None or not file.exists():
        if os.environ.get("CI"):
            pytest.fail("SHARED_DIR does not name the data")
        pytest.skip("SHARED_DIR does not name the data")
    lines = file.read_text(encoding="utf-8").splitlines()[1:16]
    return " ".join(line.rpartition("\t")[0] for line in lines)


def count(tokenizer: ReadingTokenizer, texts: Sequence[str]) -> list[int]:
    return [len(encoded.ids) for encoded in tokenizer.encode(texts)]


def test_an_edit_of_one_sentence_makes_few_new_windows(tokenizer: ReadingTokenizer, review: str) -> None:
    (before,) = tokenizer.windows([review])
    sentences = SENTENCE.split(review)
    assert len(before) >= 6
    assert max(count(tokenizer, before)) <= ROOM + 2
    new = []
    for number in range(0, len(sentences), 3):
        edited = [*sentences[:number], "Here stands another one.", *sentences[number + 1 :]]
        (after,) = tokenizer.windows([" ".join(edited)])
        new.append(len(set(after) - set(before)))
    assert min(new) >= 1
    assert sum(new) / len(new) < 2.5
    assert max(new) < len(before)


def test_short_texts_and_texts_for_models_without_a_bound_are_their_own_window(tokenizer: ReadingTokenizer) -> None:
    short = ["fine", "word " * 500, "x" * 600]
    assert tokenizer.windows(short) == [[text] for text in short]
    lab = load_tokenizer(LAB_BUNDLE)[1]
    assert lab.windows(["word " * 5_000]) == [["word " * 5_000]]


def test_tokens_are_told_with_their_places(tokenizer: ReadingTokenizer) -> None:
    text = "An unbelievably  GOOD film"
    (found,) = tokenizer.inspect([text])
    assert found.ids == tokenizer.encode([text])[0].ids
    assert found.spans is not None
    assert (found.tokens[0], found.spans[0]) == ("[CLS]", None)
    places = [text[slice(*span)].lower() for span in found.spans if span]
    assert [token.removeprefix("##") for token in found.tokens[1:-1]] == places
    assert not found.truncated
    assert tokenizer.inspect(["word " * 600])[0].truncated
    lab = load_tokenizer(LAB_BUNDLE)[1]
    (terms,) = lab.inspect(["a good good film"])
    assert (terms.spans, terms.tokens.count("good")) == (None, 2)
    assert terms.ids == lab.encode(["a good good film"])[0].ids
