"""Which labels a prediction lists, and with which numbers: the query parameters of the service's own routes."""

import json
import math
from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess

TEXTS = ["A warm, funny and altogether wonderful film.", "A dreadful, tedious waste of two hours.", "fine"]


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process
        assert process.complaints == []


@pytest.fixture(scope="module")
def everything(service: ServiceProcess) -> list[list[dict[str, float]]]:
    predictions: list[list[dict[str, float]]] = service.predict(TEXTS).json()["predictions"]
    assert [len(labels) for labels in predictions] == [2, 2, 2]
    return predictions


@pytest.mark.parametrize("path", ["predict", "bulk-predict"])
@pytest.mark.parametrize(("count", "listed"), [(1, 1), (2, 2), (3, 2)])
def test_top_k_lists_the_best_labels(
    service: ServiceProcess, everything: list[list[dict[str, float]]], path: str, count: int, listed: int
) -> None:
    answer = service.client.post(f"/project/{path}?top_k={count}", json={"text": TEXTS})
    assert answer.json() == {"predictions": [labels[:listed] for labels in everything]}


def test_a_threshold_leaves_out_what_is_below_it(
    service: ServiceProcess, everything: list[list[dict[str, float]]]
) -> None:
    lowest = min(labels[0]["score"] for labels in everything)
    at = service.predict(TEXTS, query=f"?threshold={lowest!r}").json()["predictions"]
    assert at == [[labels[0]] for labels in everything]
    above = service.predict(TEXTS, query=f"?threshold={math.nextafter(lowest, 1)!r}").json()["predictions"]
    assert sorted(map(len, above)) == [0, 1, 1]


def test_logits_are_what_the_probabilities_are_made_of(
    service: ServiceProcess, everything: list[list[dict[str, float]]]
) -> None:
    answer = service.predict(TEXTS, query="?scores=logits").json()["predictions"]
    for labels, logits in zip(everything, answer, strict=True):
        assert [item["label"] for item in logits] == [item["label"] for item in labels]
        best, other = (item["score"] for item in logits)
        assert labels[0]["score"] == pytest.approx(1 / (1 + math.exp(other - best)), abs=1e-7)
    negative = service.predict(TEXTS[0], query="?scores=logits&threshold=-1e9&top_k=2").json()["predictions"]
    assert negative == answer[:1]


def test_options_are_no_part_of_the_key_and_go_with_details(
    service: ServiceProcess, everything: list[list[dict[str, float]]]
) -> None:
    text = "never asked for before, with options"
    first = service.predict(text, query="?scores=logits&top_k=1&detail=true").json()
    assert [item["cache"] for item in first["details"]] == ["model"]
    assert [len(labels) for labels in first["predictions"]] == [1]
    again = service.predict([text, TEXTS[0]], query="?top_k=1&detail=true&threshold=0.5").json()
    assert [item["cache"] for item in again["details"]] == ["l1", "l1"]
    assert again["predictions"][1] == everything[0][:1]
    assert set(again) == {"predictions", "details", "model"}


def test_what_is_not_asked_for_changes_no_byte(service: ServiceProcess) -> None:
    plain = service.predict(TEXTS).content
    for query in ("?top_k=9", "?threshold=0", "?scores=probabilities", "?detail=false&truncate=true"):
        assert service.predict(TEXTS, query=query).content == plain, query
    assert json.loads(plain)
