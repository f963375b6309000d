"""The judgement: what counts as a flip, what is too little to judge by, and which bound names itself."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mlapi.rollout.comparison import Bounds, Comparison, TooFewTextsError, compare

BOUNDS = Bounds(min_texts=10, max_flip_rate=0.1, max_label_flip_rate=0.5, min_label_texts=4, max_score_shift=0.05)


def scores(good: float) -> dict[str, float]:
    return {"GOOD": good, "BAD": 1 - good}


def compared(old: Sequence[float], new: Sequence[float | None], bounds: Bounds = BOUNDS, hot: int = 1) -> Comparison:
    texts = [f"text {index}" for index in range(len(old))]
    weights = {text: hot if index == 0 else 1 for index, text in enumerate(texts)}
    before = {text: scores(value) for text, value in zip(texts, old, strict=True)}
    after = {text: scores(value) for text, value in zip(texts, new, strict=True) if value is not None}
    refused = [text for text, value in zip(texts, new, strict=True) if value is None]
    return compare(weights, before, after, refused, bounds)


def test_the_same_answers_pass() -> None:
    found = compared([0.9] * 6 + [0.1] * 6, [0.9] * 6 + [0.1] * 6)
    assert (found.problems, found.texts, found.flips, found.score_shift_max) == ([], 12, 0, 0.0)


def test_flips_are_counted_by_text_by_traffic_and_by_label() -> None:
    # One of twenty texts flips; it is asked for as often as twenty others.
    found = compared([0.55] + [0.9] * 9 + [0.1] * 10, [0.45] + [0.9] * 9 + [0.1] * 10, hot=20)
    assert found.flip_rate == pytest.approx(0.05)
    assert found.flip_rate_by_traffic == pytest.approx(20 / 39)
    assert found.labels["GOOD"].flip_rate == pytest.approx(0.1)
    assert found.labels["GOOD"].score_shift == pytest.approx(-0.01)
    assert found.labels["BAD"].flips == 0
    assert found.problems == [f"label-flip rate by traffic {20 / 39:.4f} is above 0.1"]


def test_a_label_is_judged_by_itself_if_there_are_enough_texts_of_it() -> None:
    bounds = replace(BOUNDS, max_flip_rate=1.0, max_score_shift=1.0)
    few = compared([0.9] * 20 + [0.1] * 3, [0.9] * 20 + [0.9] * 3, bounds)
    assert (few.labels["BAD"].judged, few.problems) == (False, [])
    enough = compared([0.9] * 20 + [0.1] * 4, [0.9] * 20 + [0.9] * 4, bounds)
    assert enough.problems == ["label-flip rate of BAD 1.0000 is above 0.5"]


def test_scores_that_move_without_a_flip_are_seen() -> None:
    found = compared([0.99] * 20, [0.60] * 20)
    assert found.flips == 0
    assert found.problems == ["mean score shift 0.3900 is above 0.05"]


def test_a_text_that_only_the_new_version_refuses_is_a_flip() -> None:
    found = compared([0.9] * 20, [0.9] * 16 + [None] * 4)
    assert (found.flips, found.refused) == (4, 4)
    assert "label-flip rate 0.2000 is above 0.1" in found.problems


@pytest.mark.parametrize("bounds", [BOUNDS, replace(BOUNDS, min_texts=0)], ids=["few", "none, with no bound"])
def test_too_few_texts_are_no_pass(bounds: Bounds) -> None:
    texts = [0.9] * (bounds.min_texts - 1)
    with pytest.raises(TooFewTextsError, match="nothing was judged"):
        compared(texts, [*texts], bounds)


def test_texts_that_one_version_did_not_get_to_are_not_compared() -> None:
    weights = {f"text {index}": 1 for index in range(20)}
    before = {text: scores(0.9) for text in weights}
    with pytest.raises(TooFewTextsError, match="5 texts"):
        compare(weights, before, {text: before[text] for text in [*weights][:5]}, [], BOUNDS)


def test_a_score_that_is_no_number_does_not_pass() -> None:
    assert compared([0.9] * 10, [math.nan] * 10).problems
