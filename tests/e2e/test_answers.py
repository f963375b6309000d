"""The answers themselves: right labels, the same bytes from every tier, and what their headers and details say."""

import re
import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from redis import Redis

from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis

GOOD = "A warm, funny and altogether wonderful film."
BAD = "A dreadful, tedious waste of two hours."
LONG = "a very good film and " * 200


@pytest.fixture(scope="module")
def service(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    with ServiceProcess(redis_url=redis.url) as process:
        yield process


def stored_entries(redis: PrivateRedis) -> int:
    with Redis.from_url(redis.url) as client:
        count: int = client.dbsize()
        return count


def test_two_texts_get_the_right_labels_by_falling_score(service: ServiceProcess) -> None:
    response = service.predict([GOOD, BAD])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["predictions"]
    good, bad = body["predictions"]
    assert [item["label"] for item in good] == ["POSITIVE", "NEGATIVE"]
    assert [item["label"] for item in bad] == ["NEGATIVE", "POSITIVE"]
    for prediction in (good, bad):
        assert [set(item) for item in prediction] == [{"label", "score"}] * 2
        assert prediction[0]["score"] > 0.9
        assert sum(item["score"] for item in prediction) == pytest.approx(1.0, abs=1e-6)


def test_the_second_time_is_a_hit_with_the_same_bytes(service: ServiceProcess) -> None:
    texts = ["seen twice, the first", "seen twice, the second"]
    first, second = service.predict(texts), service.predict(texts)
    assert first.headers["cache-status"] == 'mlapi; fwd=miss; stored; detail="l1=0 l2=0 collapsed=0 model=2"'
    assert second.headers["cache-status"] == 'mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"'
    assert second.content == first.content


def test_after_a_restart_redis_answers_with_the_same_bytes(service: ServiceProcess, redis: PrivateRedis) -> None:
    texts = ["kept over a restart, the first", "kept over a restart, the second"]
    before = stored_entries(redis)
    first = service.predict(texts)
    eventually(lambda: stored_entries(redis) == before + 2, "both texts are in Redis")
    with ServiceProcess(redis_url=redis.url) as other:
        again = other.predict(texts)
        assert again.headers["cache-status"] == 'mlapi; hit; detail="l1=0 l2=2 collapsed=0 model=0"'
        assert again.headers["model-digest"] == first.headers["model-digest"]
        assert again.content == first.content
        assert other.predict(texts).headers["cache-status"] == 'mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"'
        assert other.metric("mlapi_texts_total", source="model") == 0


def test_a_bare_string_is_a_list_of_one(service: ServiceProcess) -> None:
    bare, listed = service.predict("alone or in a list"), service.predict(["alone or in a list"])
    assert bare.status_code == 200
    assert bare.content == listed.content
    assert listed.headers["cache-status"].startswith("mlapi; hit;")


def test_spellings_that_the_model_cannot_tell_apart_share_an_entry(service: ServiceProcess) -> None:
    first = service.predict("Caf\u00e9 society")
    for spelling in ("caf\u00e9 SOCIETY", "cafe\u0301 society", "  cafe\tsociety\n", "ca\u0000fe society"):
        again = service.predict(spelling)
        assert again.headers["cache-status"].startswith("mlapi; hit;"), spelling
        assert again.content == first.content


def test_both_routes_give_the_same_bytes(service: ServiceProcess) -> None:
    one = service.predict([GOOD, BAD])
    many = service.client.post("/project/bulk-predict", json={"text": [GOOD, BAD]})
    assert many.status_code == 200
    assert many.content == one.content


def test_a_text_that_repeats_in_a_request_is_computed_once(service: ServiceProcess) -> None:
    with service.counting() as rises:
        response = service.predict(["three times in one request"] * 3)
    said = response.headers["cache-status"]
    assert said == 'mlapi; fwd=miss; stored; collapsed; detail="l1=0 l2=0 collapsed=2 model=1"'
    first, *others = response.json()["predictions"]
    assert others == [first] * 2
    assert rises['mlapi_batch_texts_sum{model="project"}'] == 1
    assert rises['mlapi_texts_total{model="project",source="model"}'] == 1
    assert rises['mlapi_texts_total{model="project",source="collapsed"}'] == 2


def test_details_tell_where_each_answer_came_from(service: ServiceProcess) -> None:
    service.predict("known to the details")
    texts = ["known to the details", "new to the details", LONG]
    first = service.predict(texts, query="?detail=true").json()
    again = service.predict(texts, query="?detail=1").json()
    plain = service.predict(texts).json()
    assert list(first) == ["predictions", "details", "model"]
    assert first["predictions"] == again["predictions"] == plain["predictions"]
    assert first["model"] == {key: service.client.get("/project/model").json()[key] for key in ("name", "digest")}
    assert [item["cache"] for item in first["details"]] == ["l1", "model", "model"]
    assert [item["cache"] for item in again["details"]] == ["l1"] * 3
    assert [(item["tokens"], item["truncated"]) for item in first["details"]] == [(6, False), (6, False), (512, True)]
    ids = [item["id"] for item in first["details"]]
    assert ids == [item["id"] for item in again["details"]]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(f"[0-9a-f]{{32}}-{first['model']['digest']}", name) for name in ids)


def test_a_cut_text_is_said_to_be_cut(service: ServiceProcess) -> None:
    with service.counting() as rises:
        first = service.predict(["short", LONG, LONG + "!"])
        again = service.predict(["short", LONG])
    assert first.headers["x-truncated"] == "2"
    assert again.headers["cache-status"].startswith("mlapi; hit;")
    assert again.headers["x-truncated"] == "1"
    assert "x-truncated" not in service.predict("short").headers
    assert rises['mlapi_truncated_texts_total{model="project"}'] == 3


@pytest.mark.parametrize(
    ("text", "pointers"),
    [(["short", LONG, LONG + "?"], ["/text/1", "/text/2"]), (LONG, ["/text"])],
    ids=["list", "bare"],
)
def test_a_caller_can_refuse_cuts(service: ServiceProcess, text: str | list[str], pointers: list[str]) -> None:
    assert service.predict("short", query="?truncate=false").status_code == 200
    response = service.predict(text, query="?truncate=false")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "text_too_long"
    assert [item["pointer"] for item in problem["errors"]] == pointers


def test_every_answer_carries_its_headers(service: ServiceProcess) -> None:
    digest = service.client.get("/project/model").json()["digest"]
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    miss = service.predict("a miss has three timings", headers={"x-request-id": "client/7:a-b_c.d", **trace})
    hit = service.predict("a miss has three timings", headers=trace)
    assert miss.headers["x-request-id"] == "client/7:a-b_c.d"
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", hit.headers["x-request-id"])
    assert re.fullmatch(r"cache;dur=[\d.]+, queue;dur=[\d.]+, model;dur=[\d.]+", miss.headers["server-timing"])
    assert re.fullmatch(r"cache;dur=[\d.]+", hit.headers["server-timing"])
    assert miss.headers["model-digest"] == hit.headers["model-digest"] == digest


def test_ids_made_for_requests_differ(service: ServiceProcess) -> None:
    ids = [service.predict("an id each").headers["x-request-id"] for _ in range(20)]
    assert len(set(ids)) == 20


def test_scores_are_float32_numbers_in_their_shortest_form(service: ServiceProcess) -> None:
    body = service.predict([GOOD, BAD, "so so"]).content
    written = re.findall(rb'"score":([^}]+)}', body)
    assert len(written) == 6
    for number in written:
        assert number == repr(float(number)).encode()
        assert struct.unpack("<f", struct.pack("<f", float(number))) == (float(number),)
    for prediction in service.predict([GOOD, BAD, "so so"]).json()["predictions"]:
        assert all(higher["score"] >= lower["score"] for higher, lower in pairwise(prediction))
