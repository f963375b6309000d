"""Padded lengths, by example. What holds for every length is in `tests/property/test_batching_buckets.py`."""

import pytest

from mlapi.batching.buckets import bucket_lengths, padded_length


@pytest.mark.parametrize(
    ("tokens", "padded"),
    [
        (1, 8), (8, 8), (9, 16), (127, 128), (128, 128),
        (129, 144), (144, 144), (145, 160), (256, 256),
        (257, 288), (512, 512), (513, 576), (4097, 4608), (8192, 8192),
    ],
)  # fmt: skip
def test_the_step_is_eight_tokens_and_doubles_with_each_doubling_from_128(tokens: int, padded: int) -> None:
    assert padded_length(tokens, max_tokens=8192) == padded


def test_the_longest_text_is_padded_to_the_maximum_of_the_model_and_not_beyond() -> None:
    assert padded_length(505, max_tokens=510) == 510
    assert padded_length(510, max_tokens=510) == 510
    assert padded_length(3, max_tokens=5) == 5


@pytest.mark.parametrize("tokens", [0, -1, 513])
def test_a_text_without_tokens_or_with_too_many_has_no_padded_length(tokens: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 512"):
        padded_length(tokens, max_tokens=512)


def test_a_warm_up_of_512_tokens_has_thirty_two_lengths() -> None:
    lengths = bucket_lengths(512)
    assert lengths[:4] == (8, 16, 24, 32)
    assert lengths[-3:] == (448, 480, 512)
    assert len(lengths) == 32


def test_a_model_that_reads_no_tokens_has_no_lengths() -> None:
    with pytest.raises(ValueError, match="between 1 and 0"):
        bucket_lengths(0)
