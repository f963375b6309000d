"""Figures are those that can be worked out by hand."""

import numpy as np
import pytest

from training.lab import Texts
from training.measures import Ratio, calibration, mcnemar, measure, words_in_errors

DATA = Texts(["a good film", "not good", "bad", "dull and not at all what we hoped for"], np.array([1, 0, 0, 0]))
SCORES = np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1], [0.7, 0.3]])


def test_shares_of_labels_and_slices() -> None:
    found = measure(DATA, SCORES, ("NEGATIVE", "POSITIVE"))
    assert (found.accuracy, found.confusion) == (Ratio(3, 4), [[2, 1], [0, 1]])
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    positive = found.labels["POSITIVE"]
    assert (positive.recall, positive.precision) == (Ratio(1, 1), Ratio(1, 2))
    assert positive.f1 == pytest.approx(2 / 3)
    assert positive.average_precision == positive.roc_auc == 1.0
    assert found.slices == {
        "1 to 5 words": Ratio(2, 3),
        "6 to 10 words": Ratio(1, 1),
        "with a negation": Ratio(1, 2),
        "without a negation": Ratio(2, 2),
    }
    assert found.brier == pytest.approx((0.08 + 0.72 + 0.02 + 0.18) / 4)


def test_a_label_that_does_not_occur_is_left_out() -> None:
    found = measure(Texts(["bad", "dull"], np.array([0, 0])), SCORES[2:], ("NEGATIVE", "POSITIVE"))
    assert list(found.labels) == ["NEGATIVE"]
    assert found.labels["NEGATIVE"].roc_auc is None
    assert found.balanced_accuracy == 1.0


@pytest.mark.parametrize(
    ("data", "scores"),
    [(Texts([], np.array([], dtype=np.int64)), SCORES[:0]), (DATA, SCORES[:2]), (DATA, SCORES * np.nan)],
    ids=["no text", "too few scores", "no numbers"],
)
def test_nothing_measured_is_no_figure(data: Texts, scores: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    with pytest.raises(ValueError, match="cannot be measured"):
        measure(data, scores, ("NEGATIVE", "POSITIVE"))


def test_the_interval_is_wilsons() -> None:
    assert Ratio(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe, Stat. Med. 17 (1998)
    assert Ratio(0, 0).interval == (0.0, 1.0)


def test_perfect_confidence_has_no_calibration_error() -> None:
    right = np.array([True, False] * 50)
    bins = calibration(np.full(100, 0.5), right)
    assert [part.right.of for part in bins] == [10] * 10
    assert all(part.confidence == part.right.value for part in bins)


def test_mcnemar_counts_what_only_one_has_right() -> None:
    ours, theirs = np.array([True] * 9 + [False]), np.array([True] * 4 + [False] * 6)
    won, lost, p_value = mcnemar(ours, theirs)
    assert (won, lost) == (5, 0)
    assert p_value == pytest.approx(0.0625)
    assert mcnemar(ours, ours) == (0, 0, 1.0)


def test_words_of_wrong_texts_come_first() -> None:
    texts = ["odd film"] * 4 + ["fine film"] * 4
    assert words_in_errors(texts, np.array([False] * 4 + [True] * 4))[0] == ("odd", Ratio(4, 4))
