"""Scores render to one fixed JSON form."""

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.predictions import Renderer

probabilities = st.floats(0, 1, width=32)


def test_labels_come_by_falling_score() -> None:
    prediction = Renderer(["NEGATIVE", "POSITIVE"]).prediction((0.25, 0.75), tokens=4, truncated=False)
    assert prediction.fragment == b'[{"label":"POSITIVE","score":0.75},{"label":"NEGATIVE","score":0.25}]'
    assert prediction.label == "POSITIVE"


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    prediction = Renderer(["a", "b", "c"]).prediction((0.25, 0.5, 0.25), tokens=4, truncated=False)
    assert [item["label"] for item in json.loads(prediction.fragment)] == ["b", "a", "c"]


def test_labels_are_escaped_as_json() -> None:
    label = 'so-"so"\n\u00e9'
    assert json.loads(Renderer([label]).prediction((1.0,), tokens=3, truncated=True).fragment)[0]["label"] == label


@given(st.lists(probabilities, min_size=2, max_size=2))
def test_scores_survive_json_to_the_bit(scores: list[float]) -> None:
    prediction = Renderer(["a", "b"]).prediction(scores, tokens=3, truncated=False)
    read = {item["label"]: item["score"] for item in json.loads(prediction.fragment)}
    assert array("f", [read["a"], read["b"]]).tobytes() == array("f", scores).tobytes()


def test_as_many_scores_as_labels_are_needed() -> None:
    with pytest.raises(ValueError, match="3 scores for 2 labels"):
        Renderer(["a", "b"]).prediction((0.1, 0.2, 0.7), tokens=3, truncated=False)
