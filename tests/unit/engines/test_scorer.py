"""The scorer keeps the order of the texts, mixes no padded lengths and keeps to the budget."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.engines.scorer import Scorer
from mlapi.predictions import EncodedText

BUDGET = 32


def bucket(tokens: int) -> int:
    return -(-tokens // 8) * 8


@given(st.lists(st.integers(1, 50), max_size=40))
def test_batches_are_those_that_may_be_computed_together(lengths: list[int]) -> None:
    batches: list[tuple[int, int]] = []

    def score(texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        assert {bucket(len(text.ids)) for text in texts} == {padded}
        batches.append((len(texts), padded))
        return [(float(text.ids[0]),) for text in texts]

    texts = [EncodedText((place,) * length, truncated=False) for place, length in enumerate(lengths)]
    found = Scorer(score, bucket=bucket, max_batch_tokens=BUDGET).logits(texts)
    assert found == [(float(place),) for place in range(len(lengths))]
    assert [batch for batch in batches if batch[0] > 1 and batch[0] * batch[1] > BUDGET] == []
    assert len(batches) <= len(lengths)


def test_an_engine_that_loses_a_text_is_noticed() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Scorer(lambda _texts, _padded: [], bucket=bucket, max_batch_tokens=8).logits(
            [EncodedText((1,), truncated=False)]
        )


def test_several_threads_give_the_same_answers() -> None:
    def score(texts: Sequence[EncodedText], _: int) -> list[tuple[float, ...]]:
        return [(float(text.ids[0]),) for text in texts]

    texts = [EncodedText((place,) * (1 + place % 40), truncated=False) for place in range(300)]
    with ThreadPoolExecutor(2) as threads:
        found = Scorer(score, bucket=bucket, max_batch_tokens=BUDGET, run=threads.map).logits(texts)
    assert found == [(float(place),) for place in range(300)]
