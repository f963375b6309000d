"""A share of the texts loses a treebank's spaces, the same ones with the same seed, and nothing else changes."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine_checkpoints import need_pipeline

need_pipeline()

from training.spacing import closed_up

pytestmark = pytest.mark.torch

TEXTS = st.lists(st.text("ab n't's.,?! ", max_size=12), max_size=20)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("it wo n't do .", "it won't do."),
        ("it 's a film , and they 've seen it !", "it's a film, and they've seen it!"),
        ("nothing to close up", "nothing to close up"),
    ],
)
def test_texts_read_as_people_write(written: str, said: str) -> None:
    assert closed_up([written], 1.0, 7) == [said]


@given(TEXTS, st.floats(0.0, 1.0), st.integers(0, 2**32))
def test_only_spaces_go_and_only_from_the_share(texts: list[str], share: float, seed: int) -> None:
    found = closed_up(texts, share, seed)
    assert [text.replace(" ", "") for text in found] == [text.replace(" ", "") for text in texts]
    assert sum(one != other for one, other in zip(found, texts, strict=True)) <= round(share * len(texts))
    assert found == closed_up(texts, share, seed)


def test_another_seed_draws_other_texts() -> None:
    texts = [f"text {number} ." for number in range(100)]
    first, second = closed_up(texts, 0.5, 7), closed_up(texts, 0.5, 8)
    assert first != second
    for found in (first, second):
        assert sum(text.endswith(" .") for text in found) == 50
    assert closed_up(texts, 0.0, 7) == texts
