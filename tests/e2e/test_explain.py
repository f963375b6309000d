"""How the model reads texts, and which of their words speak for a label: `tokenize` and `explain`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.problem_documents import assert_problem
from tests.service_process import ServiceProcess

TEXT = "An unbelievably  GOOD film, never dull."


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(max_text_chars="4000", deadline_s="60") as process:
        yield process
        assert process.complaints == []


def post(service: ServiceProcess, path: str, text: object) -> dict[str, Any]:
    answer = service.client.post(path, json={"text": text})
    assert answer.status_code == 200, answer.text
    assert answer.headers["model-digest"]
    read: dict[str, Any] = answer.json()
    return read


def test_tokens_are_told_with_their_places(service: ServiceProcess) -> None:
    first, second = post(service, "/project/tokenize", [TEXT, "word " * 600])["texts"]
    assert len(first["ids"]) == len(first["tokens"]) == len(first["offsets"])
    assert (first["tokens"][0], first["offsets"][0], first["truncated"]) == ("[CLS]", None, False)
    places = [TEXT[slice(*place)].lower() for place in first["offsets"] if place]
    assert places == [token.removeprefix("##") for token in first["tokens"][1:-1]]
    assert (len(second["ids"]), second["truncated"]) == (512, True)
    (detail,) = service.predict(TEXT, query="?detail=true").json()["details"]
    assert detail["tokens"] == len(first["ids"])
    (lab,) = post(service, "/lab/tokenize", "a good good film")["texts"]
    assert (lab["offsets"], lab["tokens"].count("good")) == (None, 2)


def test_tokens_cost_the_model_nothing(service: ServiceProcess) -> None:
    with service.counting() as rises:
        post(service, "/project/tokenize", ["a", "b"])
    assert rises['mlapi_http_requests_total{method="POST",route="/project/tokenize",status="200"}'] == 1
    assert not any(name.startswith(("mlapi_texts_total", "mlapi_batch", "mlapi_cache_op")) for name in rises)


def test_words_that_speak_for_a_label_have_positive_effects(service: ServiceProcess) -> None:
    text = "The plot is dull but the actors are wonderful"
    with service.counting() as rises:
        found = post(service, "/project/explain", text)
    words = text.split()
    assert [span["text"] for span in found["spans"]] == words
    assert all(text[span["start"] : span["end"]] == span["text"] for span in found["spans"])
    assert rises['mlapi_texts_total{model="project",source="model"}'] == len(words) + 1
    assert not any(name.startswith("mlapi_predictions") for name in rises)
    effects = {span["text"]: span["effect"] for span in found["spans"]}
    sign = 1 if found["label"] == "POSITIVE" else -1
    assert effects["wonderful"] * sign > 0 > effects["dull"] * sign
    assert (found["method"], found["truncated"], "base" in found) == ("occlusion", False, False)
    assert found["log_odds"] == pytest.approx(math.log(found["score"] / (1 - found["score"])), abs=1e-3)
    (prediction,) = service.predict(text).json()["predictions"]
    assert found["prediction"] == prediction
    other = service.client.post("/project/explain?label=NEGATIVE", json={"text": text}).json()
    assert other["label"] == "NEGATIVE"
    for span in other["spans"]:
        assert span["effect"] == pytest.approx(-sign * effects[span["text"]])


def test_nothing_of_it_is_kept(service: ServiceProcess) -> None:
    text = "seen for the first time, and explained"
    entries = service.metric("mlapi_cache_entries", tier="l1")
    post(service, "/project/explain", text)
    assert service.metric("mlapi_cache_entries", tier="l1") == entries
    (detail,) = service.predict(text, query="?detail=true").json()["details"]
    assert detail["cache"] == "model"


def test_many_words_are_explained_in_runs(service: ServiceProcess) -> None:
    text = "It is good, and then it is bad. " * 9
    spans = post(service, "/project/explain", text)["spans"]
    assert len(spans) == 36
    assert "".join(span["text"] for span in spans).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(("text", "spans"), [("good", 1), ("\u597d\u7535\u5f71", 3), ("unbelievably", None)])
def test_a_single_word_is_explained_by_its_pieces(service: ServiceProcess, text: str, spans: int | None) -> None:
    found = post(service, "/project/explain", text)["spans"]
    assert spans is None or len(found) == spans
    assert len(found) > 1 or found[0]["effect"] is None


def test_the_linear_model_says_exactly_what_it_adds_up(service: ServiceProcess) -> None:
    text = "A wonderful, wonderful film; not bad, not dull \u2014 never seen xyzzyx"
    for label in ("POSITIVE", "NEGATIVE"):
        found = service.client.post(f"/lab/explain?label={label}", json={"text": text}).json()
        assert found["method"] == "exact"
        total = found["base"] + math.fsum(span["effect"] for span in found["spans"])
        assert total == pytest.approx(found["log_odds"], abs=1e-5)
        effects = {span["text"]: span["effect"] for span in found["spans"]}
        assert (effects["film;"] != 0, effects["xyzzyx"], effects["\u2014"]) == (True, 0, 0)
    assert effects["dull"] > 0 > effects["wonderful,"]
    turkish = post(service, "/lab/explain", "\u0130stanbul is wonderful")  # longer in lower case
    assert turkish["method"] == "occlusion"


@pytest.mark.parametrize("path", ["/project/explain", "/lab/explain", "/project/tokenize"])
def test_what_predict_refuses_is_refused(service: ServiceProcess, path: str) -> None:
    for body, code, pointers in (
        ({"text": " "}, "invalid_request", ["/text"]),
        ({"text": ["x" * 4001]}, "invalid_request", ["/text/0"]),
        ({"text": []}, "invalid_request", ["/text"]),
        ({"inputs": "a"}, "invalid_request", ["/inputs", "/text"]),
    ):
        answer = service.client.post(path, json=body)
        assert_problem(answer, 422, answer.status_code, code, pointers)
    for query in ("?top_k=1", "?label=", "?label=GOOD", "?label=POSITIVE&label=NEGATIVE"):
        answer = service.client.post(path + query, json={"text": "a"})
        assert_problem(answer, 422, answer.status_code, "invalid_request", [])
    answer = service.client.post(path, content=b"{", headers={"content-type": "application/json"})
    assert_problem(answer, 400, answer.status_code, "invalid_json")
    answer = service.client.post(path, json={"text": "a"}, headers={"model-digest": "0123456789ab"})
    assert_problem(answer, 409, answer.status_code, "model_mismatch")
    assert service.client.get(path).status_code == 405


def test_one_text_is_explained_at_a_time(service: ServiceProcess) -> None:
    answer = service.client.post("/project/explain", json={"text": ["a", "b"]})
    assert_problem(answer, 422, answer.status_code, "invalid_request", ["/text"])
    assert service.client.post("/project/explain", json={"text": ["a"]}).status_code == 200


def test_keys_pay_for_what_is_asked(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    quota = {"texts_per_day": 10, "cost_hit": 0}
    both = keys.add("both", scopes=["predict", "explain"], quota=quota)
    without = keys.add("without")
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as service:

        def status(path: str, text: str, key: object) -> int:
            return service.client.post(path, json={"text": text}, headers=bearer(key)).status_code  # type: ignore[arg-type]

        assert status("/project/explain", "one two", without) == 403
        assert status("/project/tokenize", "one two", without) == 200
        assert status("/project/explain", "one two three four", both) == 200  # five texts
        assert service.metric("mlapi_key_texts_total", key=both.id, result="answered") == 5
        assert status("/project/tokenize", "any", both) == 200  # costs what a hit does
        assert status("/project/explain", "five six seven eight nine", both) == 429  # six more
        assert status("/project/explain", "five six seven eight", both) == 200
        assert status("/project/predict", "new", both) == 429
        assert service.complaints == []
