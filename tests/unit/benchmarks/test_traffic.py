from collections import Counter
from itertools import islice
from math import log
from pathlib import Path
from statistics import fmean, median, pstdev

import pytest
from tokenizers import Tokenizer

from mlapi.bench.traffic import BLOCK, LONGEST, SHORTEST, Traffic, mixed_lengths, read_words
from mlapi.settings import DEFAULT_BUNDLE

TOKENIZER = DEFAULT_BUNDLE / "tokenizer.json"
WORDS = ("good", "bad", "fine", "dull", "film", "plot", "cast", "tone")


def tokens_of(text: str) -> int:
    return len(text.split()) + 2


def test_the_same_seed_gives_the_same_texts_and_another_one_others() -> None:
    first, again, other = (list(islice(Traffic(WORDS, seed).mixed(), 50)) for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


@pytest.mark.parametrize("tokens", [3, 16, 128, 500])
def test_a_text_has_exactly_the_tokens_that_it_should(tokens: int) -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = Traffic(read_words(TOKENIZER), "exact").text(tokens)
    assert len(tokenizer.encode(text).ids) == tokens


def test_a_text_needs_room_for_a_word() -> None:
    with pytest.raises(ValueError, match="no room"):
        Traffic(WORDS, "seed").text(2)


def test_mixed_lengths_are_log_normal_with_median_20() -> None:
    lengths = mixed_lengths()
    assert len(lengths) == BLOCK
    assert 19 <= median(lengths) <= 21
    assert (min(lengths), max(lengths)) == (SHORTEST, LONGEST)
    # The short end is cut off, which narrows the distribution a little.
    assert 0.85 < pstdev([log(length) for length in lengths]) < 1.05


def test_every_block_is_the_same_work_in_another_order() -> None:
    texts = list(islice(Traffic(WORDS, "blocks").mixed(), 2 * BLOCK))
    first, second = ([tokens_of(text) for text in part] for part in (texts[:BLOCK], texts[BLOCK:]))
    assert sorted(first) == sorted(second) == list(mixed_lengths())
    assert first != second


@pytest.mark.parametrize("hit_ratio", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_the_hit_ratio_is_the_one_asked_for(hit_ratio: float) -> None:
    traffic = Traffic(WORDS, "hits")
    known = [f"known {rank}" for rank in range(100)]
    texts = list(islice(traffic.popular(known, hit_ratio, traffic.texts(8)), 5000))
    assert fmean(text in set(known) for text in texts) == pytest.approx(hit_ratio, abs=0.02)


def test_popularity_follows_zipf() -> None:
    traffic = Traffic(WORDS, "zipf")
    known = [f"known {rank}" for rank in range(1, 51)]
    counts = Counter(islice(traffic.popular(known, 1.0, iter(())), 50_000))
    harmonic = sum(1 / rank for rank in range(1, 51))
    for rank in (1, 2, 5, 10):
        assert counts[f"known {rank}"] / 50_000 == pytest.approx(1 / rank / harmonic, rel=0.1)


@pytest.mark.parametrize("content", ["{}", '{"model": {"vocab": {}}}', '{"model": null}', "no json"])
def test_a_file_without_whole_words_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError):  # noqa: PT011  whatever is wrong with the file
        read_words(path)
