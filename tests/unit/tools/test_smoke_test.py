"""What the pod that asks a deployed service takes for a prediction."""

from typing import Any

import pytest

from tools.smoke_test import is_prediction


def test_a_prediction_is_one() -> None:
    assert is_prediction({"predictions": [[{"label": "A", "score": 0.7}, {"label": "B", "score": 0.3}]]})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"predictions": []},
        {"predictions": [[]]},
        {"predictions": [[{"label": "A", "score": 0.7}]]},
        {"predictions": [[{"label": "A"}, {"label": "B"}]]},
        {"predictions": [[{"label": "A", "score": 7.0}, {"label": "B", "score": 0.3}]]},
        {"predictions": "all well"},
    ],
)
def test_an_answer_without_scores_is_none(answer: Any) -> None:  # noqa: ANN401  JSON
    assert not is_prediction(answer)
