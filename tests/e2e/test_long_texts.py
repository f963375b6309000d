"""Texts that are longer than the model reads: cut, refused, or answered by windows of which each is an entry."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.line_stream import ask_lines
from tests.e2e.problem_documents import assert_problem
from tests.service_process import ServiceProcess

SHORT = "A warm, funny and altogether wonderful film."
LONG = " ".join(f"This is the sentence of number {number}, and it is a good one." for number in range(120))
SENTENCE = re.compile(r"(?<=[.!?])\s+")
TEXTS = re.compile(r"l1=(\d+) l2=(\d+) collapsed=(\d+) model=(\d+)")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(deadline_s="60") as process:
        yield process
        assert process.complaints == []


def ask(service: ServiceProcess, text: str | Sequence[str], query: str = "") -> dict[str, Any]:
    answer = service.predict(text, query=f"?long=windows&detail=true{query}")
    assert answer.status_code == 200
    numbers = TEXTS.search(answer.headers["cache-status"])
    assert numbers is not None
    counts = dict(zip(("l1", "l2", "collapsed", "model"), map(int, numbers.groups()), strict=True))
    found: dict[str, Any] = answer.json()
    return found | {"counts": counts, "headers": answer.headers}


def test_windows_are_counted_as_texts(service: ServiceProcess) -> None:
    with service.counting() as rises:
        first = ask(service, [SHORT, LONG])
    short, long = first["details"]
    assert (short["windows"], short["truncated"], long["truncated"], long["cache"]) == (1, False, False, "model")
    assert long["windows"] >= 4
    assert long["tokens"] > 1_500
    assert first["counts"]["model"] == long["windows"] + 1
    assert rises['mlapi_texts_total{model="project",source="model"}'] == long["windows"] + 1
    assert sum(rise for name, rise in rises.items() if name.startswith("mlapi_predictions_total")) == 2
    assert not any("truncated" in name for name in rises)
    assert "x-truncated" not in first["headers"]
    again = ask(service, [SHORT, LONG])
    assert again["predictions"] == first["predictions"]
    assert again["counts"] == {"l1": long["windows"] + 1, "l2": 0, "collapsed": 0, "model": 0}
    assert [detail["id"] for detail in again["details"]] == [detail["id"] for detail in first["details"]]


def test_a_text_that_fits_is_answered_as_without_windows(service: ServiceProcess) -> None:
    plain = service.predict([SHORT, "fine"]).content
    for query in ("?long=windows", "?long=windows&combine=max", "?long=truncate", "?long=refuse"):
        assert service.predict([SHORT, "fine"], query=query).content == plain


def test_windows_are_combined_by_the_mean_or_the_highest(service: ServiceProcess) -> None:
    good, bad = "It was wonderful, warm and very funny. " * 80, "It was dreadful, dull and a waste of time. " * 80
    mean = ask(service, good + bad, "&scores=logits")["predictions"][0]
    most = ask(service, good + bad, "&scores=logits&combine=max")["predictions"][0]
    alone = [ask(service, text, "&scores=logits&combine=max")["predictions"][0] for text in (good, bad)]
    highest = {item["label"]: item["score"] for item in most}
    for item in mean:
        assert item["score"] < highest[item["label"]]
    assert highest["POSITIVE"] == pytest.approx(alone[0][0]["score"], abs=1.0)
    assert highest["NEGATIVE"] == pytest.approx(alone[1][0]["score"], abs=1.0)
    (whole,) = ask(service, good)["predictions"]
    assert whole[0]["label"] == "POSITIVE"
    assert sum(item["score"] for item in whole) == pytest.approx(1, abs=1e-6)


def test_long_texts_are_cut_or_refused_where_that_is_asked_for(service: ServiceProcess) -> None:
    assert service.predict([SHORT, LONG], query="?long=truncate").headers["x-truncated"] == "1"
    refused = service.predict([SHORT, LONG], query="?long=refuse")
    assert_problem(refused, 422, refused.status_code, "text_too_long", ["/text/1"])
    empty = service.predict([LONG, " ", LONG], query="?long=windows")
    assert_problem(empty, 422, empty.status_code, "invalid_request", ["/text/1"])


@pytest.mark.parametrize(
    "query",
    ["long=", "long=Windows", "long=windows&combine=median", "combine=mean", "long=truncate&truncate=true", "stride=9"],
)
def test_wishes_that_make_no_sense_are_refused(service: ServiceProcess, query: str) -> None:
    answer = service.predict("a", query=f"?{query}")
    assert_problem(answer, 422, answer.status_code, "invalid_request", [])


def test_lines_and_the_small_model_take_the_same_wish(service: ServiceProcess) -> None:
    text = LONG.replace("good", "great")
    (line,) = ask_lines(service, [json.dumps({"text": text}).encode() + b"\n"], query=b"?long=windows&detail=true")
    answer = ask(service, text)
    assert line["predictions"] == answer["predictions"]
    assert line["details"][0]["windows"] == answer["details"][0]["windows"] == answer["counts"]["l1"]
    lab = service.client.post("/lab/predict?long=windows&detail=true", json={"text": LONG})
    assert lab.json()["details"][0]["windows"] == 1


def test_an_edit_of_one_sentence_computes_only_what_moved(service: ServiceProcess) -> None:
    folder = os.environ.get("SHARED_DIR")
    file = Path(folder) / "data" / "imdb_long.tsv" if folder else None
    if file is None or not file.exists():
        if os.environ.get("CI"):
            pytest.fail("SHARED_DIR does not name the data")
        pytest.skip("SHARED_DIR does not name the data")
    lines = file.read_text(encoding="utf-8").splitlines()[1:14]
    review = " ".join(line.rpartition("\t")[0] for line in lines)
    before = ask(service, review)
    assert before["details"][0]["tokens"] >= 3_000
    sentences = SENTENCE.split(review)
    middle = len(sentences) // 2
    edited = [*sentences[:middle], "Nobody will believe this one sentence.", *sentences[middle + 1 :]]
    after = ask(service, " ".join(edited))
    assert 1 <= after["counts"]["model"] <= 3
    assert after["counts"]["l1"] >= before["details"][0]["windows"] - 3
    assert after["details"][0]["cache"] == "model"


def test_a_key_pays_for_windows(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    key = keys.add("daily", quota={"texts_per_day": 20, "cost_hit": 0})
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as service:
        windows = service.predict(LONG, query="?long=windows&detail=true", headers=bearer(key)).json()["details"][0][
            "windows"
        ]
        for _ in range(3):  # known windows cost nothing here
            assert service.predict(LONG, query="?long=windows", headers=bearer(key)).status_code == 200
        assert service.metric("mlapi_key_texts_total", key=key.id, result="answered") == 4 * windows
        refused = service.predict(
            [LONG.replace("good", f"g{number}") for number in range(5)], query="?long=windows", headers=bearer(key)
        )
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
