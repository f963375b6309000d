"""The gate asks for every figure that it names, and a figure that nobody measured does not pass."""

from math import nan

import pytest

from mlapi.learn.gate import Contest, Floors, defeats, lower_bound, shortfalls

GATE = Floors(accuracy={"dev": 0.8}, balanced_accuracy={"dev": 0.7}, behaviour={"negation": 0.5}, bias_gap=0.1)


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


def contest(**changes: object) -> dict[str, object]:
    """Return figures of a candidate that wins."""
    against = {"champion": "c", "won": 5, "lost": 5, "agreement": 0.95}
    found: dict[str, object] = {
        "frozen": {"sets": {"dev": {"accuracy": {"of": 1000}, "against": against}}},
        "fresh": {"texts": 20, "only_this_right": 8, "only_other_right": 1, "p_value": 0.04},
        "largest_subject_share": 0.05,
    }
    return found | changes


def frozen(**changes: object) -> dict[str, object]:
    against = {"champion": "c", "won": 5, "lost": 5, "agreement": 0.95} | changes
    return {"sets": {"dev": {"accuracy": {"of": 1000}, "against": against}}}


def fresh(**changes: object) -> dict[str, object]:
    return {"texts": 20, "only_this_right": 8, "only_other_right": 1, "p_value": 0.04} | changes


def test_a_candidate_that_wins_passes() -> None:
    assert defeats(contest(), Contest(), "c") == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (contest(frozen={}), "no frozen set was measured"),
        (contest(frozen={"sets": {"dev": {"accuracy": {"of": 10}}}}), "on dev the champion was not measured"),
        (contest(frozen=frozen(champion="another")), "on dev the champion was not measured"),
        (
            contest(frozen=frozen(won=0, lost=20)),
            "on dev up to 0.0273 of accuracy may be lost (0 won, 20 lost",
        ),
        (contest(frozen=frozen(agreement=None)), "agreement with the champion on dev was not measured"),
        (contest(frozen=frozen(agreement=0.5)), "agreement with the champion on dev is 0.5000"),
        (contest(fresh=None), "fresh opinions agree on 0 texts; 20 are required"),
        (contest(fresh=fresh(texts=19)), "fresh opinions agree on 19 texts; 20 are required"),
        (contest(fresh=fresh(p_value=None)), "20 are required to tell the two apart"),
        (contest(fresh=fresh(p_value=0.06)), "it is not better: 8 won, 1 lost, p 0.0600"),
        (contest(fresh=fresh(only_this_right=1, only_other_right=8)), "it is not better: 1 won, 8 lost"),
        (contest(largest_subject_share=None), "it was not measured how many texts rest on a single subject"),
        (contest(largest_subject_share=0.2), "0.2000 of the texts rest on a single subject"),
    ],
)
def test_what_was_not_measured_or_lost_is_said(found: dict[str, object], said: str) -> None:
    (only,) = defeats(found, Contest(), "c")
    assert said in only


def test_the_lower_bound_of_a_difference() -> None:
    """By hand: 20 more lost than won of 1000, standard error 0.00443."""
    assert lower_bound(0, 20, 1000) == pytest.approx(-0.02 - 1.6448536 * 0.004427, abs=1e-5)
    assert lower_bound(0, 0, 10) == 0.0
