"""Measures agree with scikit-learn and SciPy, or with numbers that were published."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from mlapi.learn.measures import (
    bootstrap_macro_f1,
    calibration_error,
    confusion,
    macro_f1,
    mcnemar,
    of_classes,
    wilson,
)

LABELS = ["NEGATIVE", "NEUTRAL", "POSITIVE"]
answers = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1)


@given(answers)
def test_measures_of_classes_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, said = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    counts = confusion(truth, said, LABELS)
    assert np.array_equal(counts, confusion_matrix(truth, said, labels=LABELS))
    expected = precision_recall_fscore_support(truth, said, labels=LABELS, zero_division=0)
    for index, measures in enumerate(of_classes(counts)):
        assert measures == pytest.approx([column[index] for column in expected])
    assert macro_f1(counts) == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_mcnemar_of_many_does_not_overflow() -> None:
    assert mcnemar(3000, 3000) == 1.0
    assert mcnemar(2000, 4000) < 1e-100


@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_wilsons_interval_is_that_of_scipy(pair: tuple[int, int]) -> None:
    successes, of = pair
    expected = binomtest(successes, of).proportion_ci(method="wilson")
    interval = wilson(successes, of)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.low <= interval.value <= interval.high


def test_nothing_has_no_share_and_every_share_is_possible() -> None:
    assert math.isnan(wilson(0, 0).value)
    assert wilson(0, 0)[1:] == (0.0, 1.0)
    assert math.isnan(bootstrap_macro_f1([], [], LABELS).value)
    assert math.isnan(calibration_error([], []))


def test_the_bootstrap_covers_the_truth_and_repeats_itself() -> None:
    drawn = random.Random(7)  # noqa: S311  a test that can be repeated
    truth = drawn.choices(LABELS, k=300)
    said = [label if drawn.random() < 0.8 else drawn.choice(LABELS) for label in truth]
    interval = bootstrap_macro_f1(truth, said, LABELS, rounds=500)
    assert interval == bootstrap_macro_f1(truth, said, LABELS, rounds=500)
    assert interval.low < interval.value < interval.high
    # 0.8 + 0.2 / 3 are right; a binomial share of 300 spreads over about four points to each side.
    assert interval.value == pytest.approx(0.867, abs=0.05)
    assert 0.05 < interval.high - interval.low < 0.12


def test_scores_that_are_shares_of_right_answers_have_no_error() -> None:
    scores = [0.5] * 100 + [0.9] * 100
    right = [index % 2 == 0 for index in range(100)] + [index % 10 != 0 for index in range(100)]
    assert calibration_error(scores, right, bins=2) == pytest.approx(0)
    assert calibration_error([1.0] * 10, [False] * 10) == pytest.approx(1)
    assert calibration_error([0.9] * 10, [True] * 5 + [False] * 5, bins=1) == pytest.approx(0.4)
