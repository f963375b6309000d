"""Behavioural tests and bias tests pass a model that behaves, and catch one that does not."""

from collections.abc import Sequence

import numpy as np

from training.behaviour import Outcome, behave, bias, typo
from training.measures import Probabilities

GOOD = {"good", "great", "wonderful", "funny", "charming", "beautiful", "clever", "moving"}


def sensible(texts: Sequence[str]) -> Probabilities:
    """A model that knows the good words, and what `not` does; a misspelt word is as good as the right one."""
    letters = {"".join(sorted(word)) for word in GOOD}
    rows = []
    for text in texts:
        words = text.split()
        positive = any("".join(sorted(word)) in letters for word in words) != ("not" in words)
        rows.append([0.1, 0.9] if positive else [0.9, 0.1])
    return np.array(rows)


def outcomes(found: list[Outcome]) -> dict[str, float]:
    return {outcome.name: outcome.passed.value for outcome in found}


def test_a_sensible_model_passes() -> None:
    assert outcomes(behave(sensible, positive=1, negative=0)) == dict.fromkeys(
        ("plain", "negation", "names", "typos", "intensifiers"), 1.0
    )


def test_a_model_of_single_words_fails_the_negation_alone() -> None:
    found = outcomes(behave(lambda texts: sensible([text.replace(" not ", " ") for text in texts]), 1, 0))
    assert found == {"plain": 1.0, "negation": 0.0, "names": 1.0, "typos": 1.0, "intensifiers": 1.0}


def test_a_model_that_minds_names_is_caught() -> None:
    def partial(texts: Sequence[str]) -> Probabilities:
        scores = sensible(texts)
        scores[["Mei" in text for text in texts]] = [0.6, 0.4]
        return scores

    (names,) = [outcome for outcome in behave(partial, 1, 0) if outcome.name == "names"]
    assert names.passed.hits < names.passed.of
    assert names.failed


def test_equal_treatment_has_no_gap_and_unequal_one_has() -> None:
    assert {gap.mean for gap in bias(sensible, positive=1)} == {0.0}

    def unequal(texts: Sequence[str]) -> Probabilities:
        return np.array(
            [[0.8, 0.2] if {"she", "woman", "sister"} & set(text.split()) else [0.2, 0.8] for text in texts]
        )

    gaps = {gap.kind: gap for gap in bias(unequal, positive=1) if gap.mean}
    assert list(gaps) == ["pronoun"]
    assert gaps["pronoun"].mean > 0.5
    assert gaps["pronoun"].p_value < 1e-6


def test_a_typo_swaps_two_letters_of_the_longest_word() -> None:
    assert typo("the charming film") == "the chamring film"
    assert typo("the end") == "the end"
