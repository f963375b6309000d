"""What holds for the padded length of every text and every model."""

from hypothesis import given
from hypothesis import strategies as st

from mlapi.batching.buckets import bucket_lengths, padded_length


@st.composite
def lengths(draw: st.DrawFn) -> tuple[int, int]:
    """Draw a model's maximum and the length of a text that it can read."""
    max_tokens = draw(st.integers(1, 8192))
    return draw(st.integers(1, max_tokens)), max_tokens


@given(lengths())
def test_padding_is_at_most_seven_tokens_or_less_than_a_ninth_of_the_padded_length(case: tuple[int, int]) -> None:
    tokens, max_tokens = case
    padded = padded_length(tokens, max_tokens)
    assert tokens <= padded <= max_tokens
    assert padded - tokens <= 7 or 9 * (padded - tokens) < padded


@given(lengths())
def test_a_padded_length_is_a_multiple_of_eight_or_the_maximum(case: tuple[int, int]) -> None:
    tokens, max_tokens = case
    padded = padded_length(tokens, max_tokens)
    assert padded % 8 == 0 or padded == max_tokens


@given(lengths())
def test_below_the_maximum_the_padded_length_does_not_depend_on_the_model(case: tuple[int, int]) -> None:
    tokens, max_tokens = case
    assert padded_length(tokens, max_tokens) == min(padded_length(tokens, 8192), max_tokens)


@given(st.integers(1, 2048))
def test_the_warm_up_runs_exactly_the_lengths_that_texts_are_padded_to(max_tokens: int) -> None:
    padded = [padded_length(tokens, max_tokens) for tokens in range(1, max_tokens + 1)]
    assert padded == sorted(padded)
    assert bucket_lengths(max_tokens) == tuple(sorted(set(padded)))
    assert bucket_lengths(max_tokens)[-1] == max_tokens
