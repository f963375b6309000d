"""The classifier of the public face gives the service's answers, to the byte, for either shipped model."""

import random
from pathlib import Path

import pytest

from mlapi import Classifier
from mlapi.errors import BundleError
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.service_process import ServiceProcess

WORDS = ("a", "warm", "funny", "dull", "film", "and", "tedious", "good", "not", "bad", "plot", "the", "of", "cast")


def made_up(count: int) -> list[str]:
    source = random.Random(7)  # noqa: S311  reproducible, not secret
    return [" ".join(source.choices(WORDS, k=source.choice((1, 3, 9, 20, 60)))) for _ in range(count)]


@pytest.mark.parametrize("bundle", [DEFAULT_BUNDLE, LAB_BUNDLE], ids=lambda path: path.name)
def test_its_answers_are_the_services_to_the_byte(bundle: Path) -> None:
    texts = [*made_up(40), "Caf\u00e9 \U0001f600!", "word " * 700]
    with Classifier.open(bundle) as classifier:
        together = classifier.predict(texts)
        assert classifier.predict(texts[3]) == [together[3]]
        with ServiceProcess(bundle=str(bundle)) as service:
            response = service.predict(texts)
            assert response.headers["model-digest"] == classifier.digest
    scores = [{item["label"]: item["score"] for item in prediction} for prediction in response.json()["predictions"]]
    assert scores == [dict(zip(classifier.labels, found.scores, strict=True)) for found in together]
    assert [next(iter(ranked)) for ranked in scores] == [found.label for found in together]
    assert {prediction.label for prediction in together} == set(classifier.labels)
    assert together[-1].truncated is (bundle == DEFAULT_BUNDLE)


def test_what_it_cannot_do_is_said(tmp_path: Path) -> None:
    with Classifier.open(LAB_BUNDLE) as classifier:
        assert classifier.predict([]) == []
        with pytest.raises(ValueError, match="text 1 holds nothing"):
            classifier.predict(["fine", " \n"])
    with pytest.raises(BundleError, match="not a model bundle"):
        Classifier.open(tmp_path)
