"""The small model of `/lab`, served by the process that serves the large one: answers, cache policy and cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlapi.bundles.manifest import parse, render
from mlapi.settings import LAB_BUNDLE
from tests.service_process import HOST, ServiceProcess, run_mlapi
from tools.private_redis import PrivateRedis

SEEDS = ["example 1: what a wonderful, moving film", "example 2: a dull and tedious waste of time"]
NO_REDIS = f"redis://{HOST}:1/0"
MEMORY = 110e6
"""Bytes that are resident after a few requests, at most: a third of what the large model needs."""

HEAVY = ("openvino/", "tokenizers/", "torch/", "sklearn/", "scipy/")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(bundle=str(LAB_BUNDLE), root_path="/lab", redis_url=NO_REDIS) as process:
        yield process


def test_it_answers_and_the_second_answer_is_a_hit_with_the_same_bytes(service: ServiceProcess) -> None:
    first, second = service.predict(SEEDS), service.predict(SEEDS)
    assert [items[0]["label"] for items in first.json()["predictions"]] == ["POSITIVE", "NEGATIVE"]
    assert first.headers["cache-status"] == 'mlapi; fwd=miss; stored; detail="l1=0 l2=0 collapsed=0 model=2"'
    assert second.headers["cache-status"] == 'mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"'
    assert second.content == first.content
    assert service.predict([text.upper() + " !" for text in SEEDS]).content == first.content


def test_neighbours_change_nothing(service: ServiceProcess) -> None:
    texts = [f"{word} film, {word} and {word}" for word in ("good", "bad", "fine", "xyzzy", "odd", "long " * 200)]
    together = service.predict(texts, headers={"cache-control": "no-store"}).json()["predictions"]
    alone = [service.predict([text], headers={"cache-control": "no-store"}).json()["predictions"][0] for text in texts]
    assert together == alone


def test_a_text_of_the_largest_size_is_read_to_its_end(service: ServiceProcess) -> None:
    text = "a very good film and " * 950
    response = service.predict([text, text + "dreadful"], query="?detail=true&truncate=false")
    first, second = response.json()["details"]
    assert first["truncated"] is second["truncated"] is False
    assert second["tokens"] > first["tokens"] > 4000
    assert "x-truncated" not in response.headers


def test_a_text_without_a_known_word_gets_the_intercept(service: ServiceProcess) -> None:
    predictions = service.predict(["xyzzy", "!", "\U0001f600 plugh"]).json()["predictions"]
    assert predictions[0] == predictions[1] == predictions[2]
    assert service.predict([" \n"]).status_code == 422


def test_the_model_says_what_it_is(service: ServiceProcess) -> None:
    model = service.client.get("/lab/model").json()
    assert (model["name"], model["engine"], model["max_tokens"]) == (LAB_BUNDLE.name, "linear", None)
    assert model["evaluation"]["accuracy"] >= 0.8
    assert model["digest"] == service.predict(SEEDS).headers["model-digest"]
    assert service.client.get("/project/model").status_code == 404


def test_redis_is_not_asked_for_it(service: ServiceProcess) -> None:
    for number in range(20):
        assert service.predict(f"never seen before, number {number}").is_success
    assert service.client.get("/lab/health").json()["cache"] == {"status": "disabled"}
    assert [name for name, value in service.samples().items() if 'tier="l2"' in name and value] == []


def test_it_is_small(service: ServiceProcess) -> None:
    assert service.predict(SEEDS).is_success
    mapped = Path(f"/proc/{service.pid}/maps").read_text(encoding="ascii", errors="replace")
    assert [name for name in HEAVY if name in mapped] == []
    assert service.peak_memory < MEMORY


def test_a_setting_overrides_what_the_bundle_says_of_the_cache(redis: PrivateRedis) -> None:
    with ServiceProcess(bundle=str(LAB_BUNDLE), redis_url=redis.url, cache="both") as process:
        assert process.predict(SEEDS).is_success
        assert process.client.get("/project/health").json()["cache"] == {"status": "ok"}
    with ServiceProcess(engine="fake", redis_url=redis.url, cache="l1") as process:
        assert process.client.get("/project/health").json()["cache"] == {"status": "disabled"}
        assert "; hit" in [process.predict(SEEDS).headers["cache-status"] for _ in range(2)][1]


def test_no_tier_at_all_computes_every_time(tmp_path: Path) -> None:
    for file in LAB_BUNDLE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = (tmp_path / "bundle.json").read_bytes().replace(b'"cache": "l1"', b'"cache": "none"')
    (tmp_path / "bundle.json").write_bytes(content)
    assert render(parse(content)) == content
    with ServiceProcess(bundle=str(tmp_path), redis_url=NO_REDIS) as process:
        first, second = process.predict(SEEDS), process.predict(SEEDS)
        for response in (first, second):
            assert response.headers["cache-status"] == 'mlapi; fwd=miss; detail="l1=0 l2=0 collapsed=0 model=2"'
        assert second.content == first.content
        assert process.metric("mlapi_texts_total", source="model") == 4


def test_the_command_line_shows_and_verifies_it() -> None:
    shown = run_mlapi("bundle", "inspect", str(LAB_BUNDLE)).stdout
    assert "reads       texts of every length\n" in shown
    assert "cache       in-process\n" in shown
    assert run_mlapi("bundle", "verify", str(LAB_BUNDLE)).stdout.count("ok ") == 3
