"""Predictions render to one fixed JSON form, once."""

import json
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.dialects.ranked import RankedLabels
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction

logits = st.floats(-100, 100, width=32)


def predict(labels: list[str], row: list[float]) -> tuple[RankedLabels, Prediction]:
    postprocessor = Postprocessor(labels, "softmax")
    return RankedLabels(postprocessor), postprocessor.prediction(row, tokens=4, truncated=False)


def test_labels_come_by_falling_score() -> None:
    ranked, prediction = predict(["NEGATIVE", "POSITIVE"], [0.0, math.log(3)])
    assert ranked.all(prediction) == b'[{"label":"POSITIVE","score":0.75},{"label":"NEGATIVE","score":0.25}]'
    assert prediction.label == "POSITIVE"


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    ranked, prediction = predict(["a", "b", "c"], [1.0, 2.0, 1.0])
    assert [item["label"] for item in json.loads(ranked.all(prediction))] == ["b", "a", "c"]


def test_labels_are_escaped_as_json() -> None:
    label = 'so-"so"\n\u00e9'
    ranked, prediction = predict([label], [1.0])
    assert json.loads(ranked.all(prediction))[0]["label"] == label


@given(st.lists(logits, min_size=2, max_size=2))
def test_scores_survive_json_to_the_bit(row: list[float]) -> None:
    ranked, prediction = predict(["a", "b"], row)
    read = {item["label"]: item["score"] for item in json.loads(ranked.all(prediction))}
    assert array("f", [read["a"], read["b"]]).tobytes() == array("f", ranked.scores(row)).tobytes()


def test_it_is_made_once_and_kept_beside_the_prediction() -> None:
    ranked, prediction = predict(["a", "b"], [1.0, 2.0])
    assert prediction.rendering is None
    first = ranked.all(prediction)
    assert prediction.rendering is first
    assert ranked.join([prediction, prediction]) == first + b"," + first


def test_what_is_kept_is_no_part_of_the_value() -> None:
    ranked, prediction = predict(["a", "b"], [1.0, 2.0])
    _, other = predict(["a", "b"], [1.0, 2.0])
    ranked.all(prediction)
    assert prediction == other


@pytest.mark.parametrize(
    ("count", "labels"), [(1, ["b"]), (2, ["b", "c"]), (None, ["b", "c", "a"]), (9, ["b", "c", "a"])]
)
def test_the_best_labels_alone_with_other_scores(count: int | None, labels: list[str]) -> None:
    ranked, prediction = predict(["a", "b", "c"], [-1.5, 2.5, 0.5])
    found = json.loads(ranked.best(prediction, count, list))
    assert [item["label"] for item in found] == labels
    assert found[0]["score"] == 2.5
    assert prediction.rendering is None
