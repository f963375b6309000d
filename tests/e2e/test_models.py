"""Several models in one process: their routes, their entries in the cache, and what they share."""

import asyncio
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import msgspec
import pytest
from redis import Redis

from mlapi.bundles.manifest import MANIFEST_NAME, render
from mlapi.bundles.store import read_manifest, write_bundle
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.e2e.problem_documents import assert_problem
from tests.service_process import HOST, ServiceProcess, eventually, run_mlapi
from tools.private_redis import PrivateRedis

ROOTS: Final = ("/project", "/lab")
SEEDS: Final = ["example 1: what a wonderful, moving film", "example 2: a dull and tedious waste of time"]
OPEN: Final = 2
BATCH_TOKENS: Final = 256
KNOWN_WORDS: Final = [
    term for term in json.loads((LAB_BUNDLE / "vocabulary.json").read_bytes())["terms"] if term.isalpha()
]
"""Of others the small model's tokenizer makes nothing, so texts of them are one text to it."""


def fake_bundle(folder: Path, *labels: str) -> Path:
    """Write a bundle of the fake engine, another model than one with other labels."""
    manifest = read_manifest(LAB_BUNDLE)
    write_bundle(
        folder,
        {"vocabulary.json": LAB_BUNDLE / "vocabulary.json"},
        lambda files: msgspec.structs.replace(
            manifest, files=dict(files), engine="fake", labels=labels, cache="both", name=folder.name, reference={}
        ),
    )
    return folder


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two models of the fake engine, as `MLAPI_MODELS` names them: `/one` and `/two`."""
    folder = tmp_path_factory.mktemp("bundles")
    one, two = fake_bundle(folder / "first", "NO", "YES"), fake_bundle(folder / "second", "BAD", "GOOD")
    return f"one={one} two={two}"


@pytest.fixture(scope="module")
def service(redis: PrivateRedis) -> Iterator[ServiceProcess]:
    """What starts without any setting of models, except that the small model asks Redis, too."""
    with ServiceProcess(redis_url=redis.url, cache="both", redis_timeout_ms="5000") as process:
        yield process
        assert process.complaints == []


def ask(service: ServiceProcess, root: str, text: str | list[str], route: str = "predict") -> httpx.Response:
    return service.client.post(f"{root}/{route}", json={"inputs" if route == "hf" else "text": text})


def test_without_a_setting_both_shipped_models_are_served(service: ServiceProcess) -> None:
    for root, folder in zip(ROOTS, (DEFAULT_BUNDLE, LAB_BUNDLE), strict=True):
        model = service.client.get(f"{root}/model").json()
        assert model["name"] == folder.name
        for route in ("predict", "bulk-predict"):
            response = ask(service, root, SEEDS, route)
            assert [labels[0]["label"] for labels in response.json()["predictions"]] == ["POSITIVE", "NEGATIVE"]
            assert response.headers["model-digest"] == model["digest"]
        assert [labels[0]["label"] for labels in ask(service, root, SEEDS, "hf").json()] == ["POSITIVE", "NEGATIVE"]
        assert service.client.get(f"{root}/health").json()["model"] == {key: model[key] for key in ("name", "digest")}


@pytest.mark.parametrize("root", ROOTS)
def test_documents_and_methods_are_there_below_each_root(service: ServiceProcess, root: str) -> None:
    assert f"{root}/openapi.json" in service.client.get(f"{root}/docs").text
    document = service.client.get(f"{root}/openapi.json").json()
    assert {f"{each}/predict" for each in ROOTS} <= set(document["paths"])
    for path, allowed in {"predict": "OPTIONS, POST", "model": "GET, HEAD, OPTIONS"}.items():
        asked = service.client.options(f"{root}/{path}")
        assert (asked.status_code, asked.headers["allow"]) == (204, allowed)
        refused = service.client.put(f"{root}/{path}")
        assert_problem(refused, 405, refused.status_code, "method_not_allowed")
        assert refused.headers["allow"] == allowed
    for path in ("health", "model", "docs", "openapi.json"):
        head = service.client.head(f"{root}/{path}")
        assert (head.status_code, head.content) == (200, b""), path


def test_requests_and_texts_are_counted_by_model(service: ServiceProcess) -> None:
    for number, root in enumerate(ROOTS, start=1):
        name, other = root[1:], ROOTS[2 - number][1:]
        texts = [f"{name}, as a {word}" for word in KNOWN_WORDS[:number]]
        with service.counting() as rises:
            assert ask(service, root, texts).is_success
        assert rises[f'mlapi_texts_total{{model="{name}",source="model"}}'] == number
        assert rises[f'mlapi_http_requests_total{{method="POST",route="{root}/predict",status="200"}}'] == 1
        assert rises[f'mlapi_batch_texts_sum{{model="{name}"}}'] == number
        assert [series for series in rises if f'model="{other}"' in series or f'route="/{other}' in series] == []


def test_what_one_model_knows_is_no_hit_for_the_other_in_either_tier(
    service: ServiceProcess, redis: PrivateRedis
) -> None:
    text = "known to one of two"
    first = [ask(service, root, text) for root in ROOTS]
    assert ["fwd=miss" in response.headers["cache-status"] for response in first] == [True, True]
    again = [ask(service, root, text) for root in ROOTS]
    assert ["; hit" in response.headers["cache-status"] for response in again] == [True, True]
    assert [response.content for response in again] == [response.content for response in first]
    assert again[0].content != again[1].content
    digests = {response.headers["model-digest"] for response in first}
    with Redis.from_url(redis.url, decode_responses=True) as client:
        eventually(lambda: set(namespaces(client)) >= digests, "entries of both models in Redis")
        assert len(digests) == len(set(namespaces(client))) == 2


def namespaces(client: Redis) -> list[str]:
    """Return which models' entries there are: keys are `mlapi:SCHEMA:MODEL DIGEST:TEXT`."""
    keys = [key.decode() if isinstance(key, bytes) else key for key in client.keys("mlapi:*")]
    return [key.split(":")[2] for key in keys]


def test_the_first_level_is_one_budget_for_both(fakes: str) -> None:
    with ServiceProcess(models=fakes, l1_bytes="2000") as service:
        assert ask(service, "/one", "the first").is_success
        assert "; hit" in ask(service, "/one", "the first").headers["cache-status"]
        for number in range(40):
            assert ask(service, "/two", f"another {number}").is_success
        assert "fwd=miss" in ask(service, "/one", "the first").headers["cache-status"], "the other model took its place"
        assert 0 < service.metric("mlapi_cache_bytes", tier="l1") <= 2000


def test_both_ask_one_redis_through_one_breaker(fakes: str, redis_server: PrivateRedis) -> None:
    with ServiceProcess(models=fakes, redis_url=redis_server.url, l1_bytes="0") as service:
        eventually(lambda: "l2=1" in ask(service, "/one", "seen").headers["cache-status"], "a hit from Redis")
        redis_server.kill()

        def opened() -> bool:
            assert ask(service, "/one", "seen").is_success
            return service.metric("mlapi_cache_breaker_state") == OPEN

        eventually(opened, "an open breaker")
        for root in ("/one", "/two"):
            assert service.client.get(f"{root}/health").json()["cache"]["status"] == "degraded"
        with service.counting() as rises:
            assert ask(service, "/two", "seen").is_success
        assert rises['mlapi_cache_operations_total{operation="get",result="skipped",tier="l2"}'] == 1


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("lab=/nowhere", "the model of /lab: /nowhere is not a model bundle: bundle.json: No such file or directory"),
        ("lab={damaged}", "the model of /lab: {damaged}/vocabulary.json was changed"),
        ("lab={large}", "this needs 9765"),
    ],
    ids=["missing", "damaged", "too large"],
)
def test_a_model_that_does_not_load_stops_the_start(fakes: str, tmp_path: Path, second: str, reason: str) -> None:
    damaged, large = fake_bundle(tmp_path / "damaged", "A", "B"), fake_bundle(tmp_path / "large", "A", "B")
    manifest = msgspec.structs.replace(read_manifest(large), memory_bytes=1024 * 10**12)
    (large / MANIFEST_NAME).write_bytes(render(manifest))
    content = (damaged / "vocabulary.json").read_bytes()
    (damaged / "vocabulary.json").write_bytes(content.replace(b"a", b"b", 1))
    models = f"{fakes.split(maxsplit=1)[0]} {second.format(damaged=damaged, large=large)}"
    # It returns when the process has ended and nothing holds its output any more.
    done = run_mlapi("serve", settings={"MLAPI_MODELS": models, "MLAPI_HOST": HOST, "MLAPI_PORT": "0"}, timeout_s=30)
    assert done.returncode == 3
    records = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    said = [record["message"] for record in records if record["level"] == "ERROR"]
    assert any(f"cannot start: {reason.format(damaged=damaged, large=large)}" in message for message in said), (
        done.stderr
    )
    assert not any("listening" in record["message"] for record in records)


@pytest.fixture(scope="module")
def paced(fakes: str) -> Iterator[ServiceProcess]:
    """Two models that take a known time for each token, on one stream, for which both wait."""
    with ServiceProcess(
        module="tests.e2e.paced_service",
        models=fakes,
        threads="1",
        max_batch_tokens=str(BATCH_TOKENS),
        deadline_s="60",
    ) as process:
        yield process


def queue_s(response: httpx.Response) -> float:
    """Return for how long a text waited for the model, as the service measured it; 0 if it was a hit."""
    found = re.search(r"queue;dur=([\d.]+)", response.headers["server-timing"])
    return float(found[1]) / 1000 if found else 0.0


async def test_a_saturated_model_delays_another_ones_miss_by_a_batch_and_hits_not_at_all(paced: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=paced.url, timeout=60.0) as client:
        for root in ("/one", "/two"):
            assert (await client.post(f"{root}/predict", json={"text": "known"})).is_success
        texts = [" ".join(words) for words in product(KNOWN_WORDS[:90], repeat=2)]
        bulk = asyncio.create_task(client.post("/one/bulk-predict", json={"text": texts}))

        async def begun() -> float:
            return await asyncio.to_thread(paced.metric, "mlapi_batch_texts_count", model="one")

        began = await begun()
        while await begun() < began + 2:
            assert not bulk.done()
        waits = []
        for word in KNOWN_WORDS[:8]:
            answer = await client.post("/two/predict", json={"text": word})
            assert "model=1" in answer.headers["cache-status"]
            waits.append(queue_s(answer))
            for root in ("/one", "/two"):
                hit = await client.post(f"{root}/predict", json={"text": "known"})
                assert "; hit" in hit.headers["cache-status"]
                assert "queue" not in hit.headers["server-timing"]
        assert not bulk.done(), "it is all answered while the other model has work left"
        assert paced.metric("mlapi_queue_tokens", model="one") > 20 * BATCH_TOKENS
        bulk.cancel()
    spent = paced.metric("mlapi_inference_duration_seconds_sum", model="one")
    batch_s = spent / paced.metric("mlapi_inference_duration_seconds_count", model="one")
    assert max(waits) > 0
    assert median(waits) < 2 * batch_s
