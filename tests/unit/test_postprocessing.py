"""Logits become float32 probabilities."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.errors import EngineError
from mlapi.postprocessing import Postprocessor, probabilities
from mlapi.predictions import Prediction

logits = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8)


@given(logits)
def test_softmax_gives_float32_probabilities_that_sum_to_one(row: list[float]) -> None:
    scores = probabilities(row, "softmax")
    assert all(0 <= score <= 1 for score in scores)
    assert math.isclose(sum(scores), 1, abs_tol=1e-6)
    assert tuple(array("f", scores)) == scores
    assert scores[row.index(max(row))] == max(scores)


@given(logits)
def test_sigmoid_scores_each_label_for_itself(row: list[float]) -> None:
    together = probabilities(row, "sigmoid")
    alone = [probabilities([value], "sigmoid")[0] for value in row]
    assert list(together) == alone
    assert all(0 <= score <= 1 for score in together)


def test_known_values() -> None:
    assert probabilities([0.0, 0.0], "softmax") == (0.5, 0.5)
    assert probabilities([0.0, math.log(3)], "softmax") == (0.25, 0.75)
    assert probabilities([0.0], "sigmoid") == (0.5,)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(EngineError):
        probabilities([0.0, bad], "softmax")


def test_a_prediction_names_the_best_label_and_of_equal_ones_the_first() -> None:
    labels = Postprocessor(["a", "b", "c"], "softmax")
    assert labels.prediction((0.5, 2.0, 1.0), tokens=4, truncated=True) == Prediction(
        (0.5, 2.0, 1.0), "b", 4, truncated=True
    )
    assert labels.prediction((1.0, 2.0, 2.0), tokens=4, truncated=False).label == "b"


@pytest.mark.parametrize("row", [(0.5,), (0.5, 0.5, 0.5)])
def test_as_many_logits_as_labels_are_needed(row: tuple[float, ...]) -> None:
    with pytest.raises(EngineError, match="logits for 2 labels"):
        Postprocessor(["a", "b"], "softmax").prediction(row, tokens=3, truncated=False)
