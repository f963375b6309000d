"""The gate asks for every figure that it names, and a figure that nobody measured does not pass."""

from math import nan

import pytest

from training.gate import shortfalls
from training.params import Gate

GATE = Gate(accuracy={"dev": 0.8}, balanced_accuracy={"dev": 0.7}, behaviour={"negation": 0.5}, bias_gap=0.1)


def metrics(
    accuracy: float = 0.8, balanced: float = 0.7, negation: float = 0.5, gap: float | None = 0.1
) -> dict[str, object]:
    return {
        "sets": {"dev": {"accuracy": {"value": accuracy}, "balanced_accuracy": balanced}},
        "behaviour": {"negation": {"value": negation, "of": 10}},
        "bias_gap": gap,
    }


def test_what_is_good_enough_passes() -> None:
    assert shortfalls(metrics(), GATE) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (metrics(accuracy=0.79), "accuracy on dev is 0.7900; at least 0.8000 is required"),
        (metrics(balanced=0.6), "balanced accuracy on dev is 0.6000; at least 0.7000 is required"),
        (metrics(negation=0.4), "behaviour: negation is 0.4000; at least 0.5000 is required"),
        (metrics(gap=0.2), "the gap between groups of people is 0.2000; at most 0.1000 is allowed"),
        (metrics(gap=None), "the gap between groups of people was not measured; at most 0.1000 is allowed"),
        (metrics(balanced=nan), "balanced accuracy on dev was not measured; at least 0.7000 is required"),
        (metrics(gap=nan), "the gap between groups of people was not measured; at most 0.1000 is allowed"),
        (metrics() | {"behaviour": {}}, "behaviour: negation was not measured; at least 0.5000 is required"),
        (
            metrics() | {"behaviour": {"negation": {"value": 1.0, "of": 0}}},
            "behaviour: negation was not measured; at least 0.5000 is required",
        ),
    ],
)
def test_what_is_not_is_said(found: dict[str, object], said: str) -> None:
    assert shortfalls(found, GATE) == [said]


def test_a_set_that_was_not_measured_does_not_pass() -> None:
    assert len(shortfalls(metrics() | {"sets": {}}, GATE)) == 2
