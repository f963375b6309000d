"""A text that breaks the model breaks no other, and a model that is broken refuses no text: the run ends."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from mlapi import Classifier
from mlapi.errors import EngineError
from mlapi.offline.base import OfflineError, Ranking, Refused
from mlapi.offline.local import EMPTY, LocalAnswerer, memory_tier
from mlapi.predictions import Prediction
from mlapi.settings import LAB_BUNDLE


@pytest.fixture
def classifier() -> Iterator[Classifier]:
    with Classifier.open(LAB_BUNDLE) as opened:
        yield opened


def breaking(
    classifier: Classifier, breaks: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch
) -> tuple[LocalAnswerer, list[list[str]]]:
    asked: list[list[str]] = []
    compute = classifier.compute

    def fail(texts: Sequence[str]) -> list[Prediction]:
        asked.append(list(texts))
        if any(map(breaks, texts)):
            msg = "the engine failed"
            raise EngineError(msg)
        return compute(texts)

    monkeypatch.setattr(classifier, "compute", fail)
    return LocalAnswerer(classifier, memory_tier(1_000_000, 60.0), None), asked


def test_each_text_is_computed_once(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer, asked = breaking(classifier, lambda _: False, monkeypatch)
    first = answerer.answer(["good film", "bad film", "Good  film", " ", "good film"])
    assert asked == [["good film", "bad film"]]
    assert first[0] is first[2] is first[4]
    assert first[3] == EMPTY
    assert answerer.answer(["bad film", "good film"]) == [first[1], first[0]]
    assert len(asked) == 1
    assert (answerer.unique, answerer.cached) == (4, 2)


def test_a_text_that_breaks_the_model_is_refused(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer, _ = breaking(classifier, lambda text: "break" in text, monkeypatch)
    fine, broken = answerer.answer(["good film", "break it"])
    assert isinstance(fine, Ranking)
    assert broken == Refused("engine_error", "the engine failed")
    assert answerer.answer(["break it"]) == [broken]


def test_a_model_that_is_broken_ends_the_run(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer, _ = breaking(classifier, lambda _: True, monkeypatch)
    with pytest.raises(OfflineError, match="the engine failed, whatever the text"):
        answerer.answer(["good film", "bad film"])
