"""Each fault of a set of texts is found and counted, and those that spoil a model stop the training."""

import numpy as np

from training.checks import Check, check_leaks, check_rows, check_set
from training.data_preprocessing import clean
from training.lab import Texts
from training.params import Preprocessing

RULES = Preprocessing(min_texts=2, max_conflicts=0.3, max_characters=20)
LABELS = ("NEGATIVE", "POSITIVE")


def texts(*rows: tuple[str, int]) -> Texts:
    return Texts([text for text, _ in rows], np.array([label for _, label in rows], dtype=np.int64))


def found(checks: list[Check]) -> dict[str, tuple[int, bool]]:
    return {check.name: (check.found, check.stops) for check in checks}


def test_good_texts_stop_nothing() -> None:
    data = texts(("good", 1), ("bad", 0), ("fine", 1), ("dull", 0))
    checks = [*check_rows("train", data, LABELS, RULES), *check_set("train", data, RULES)]
    assert [check for check in checks if check.stops] == []


def test_each_text_that_cannot_be_learned_from_is_found() -> None:
    data = texts(("good", 1), ("  ", 0), ("fine", 2), ("a text of more than twenty letters", 0), ("do\x07ng", 1))
    assert found(check_rows("train", data, LABELS, RULES)) == {
        "texts": (5, False),
        "unknown labels": (1, True),
        "empty texts": (1, True),
        "control characters": (1, True),
        "too long": (1, True),
        "texts of NEGATIVE": (2, False),
        "texts of POSITIVE": (2, False),
    }


def test_no_text_at_all_stops() -> None:
    stopping = [check.name for check in check_rows("train", texts(), LABELS, RULES) if check.stops]
    assert stopping == ["texts", "texts of NEGATIVE", "texts of POSITIVE"]


def test_duplicates_are_told_and_conflicts_stop_above_their_limit() -> None:
    few = texts(("good", 1), (" GOOD", 1), ("odd", 1), ("Odd", 0), ("bad", 0), ("dull", 0), ("poor", 0), ("fine", 1))
    assert found(check_set("train", few, RULES)) == {"duplicates": (1, False), "conflicting labels": (2, False)}
    assert found(check_set("train", texts(("odd", 1), ("odd", 0)), RULES))["conflicting labels"] == (2, True)


def test_a_text_on_both_sides_stops_whatever_its_case() -> None:
    (check,) = check_leaks(texts(("A  good film", 1)), {"dev": texts(("a good FILM", 1), ("bad", 0))})
    assert (check.found, check.of, check.stops, check.examples) == (1, 2, True, ("a good FILM",))


def test_cleaning_leaves_out_what_the_rules_say() -> None:
    data = texts(("good", 1), ("good", 1), ("odd", 1), ("odd", 0), ("bad", 0))
    assert clean(data, Preprocessing()).texts == ["good", "bad"]
    assert clean(data, Preprocessing(duplicates="keep")).texts == ["good", "good", "bad"]
    assert clean(data, Preprocessing(duplicates="keep", conflicts="keep")).texts == data.texts
