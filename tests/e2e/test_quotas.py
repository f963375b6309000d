"""Quotas of API keys: what a refusal says, exactness over three processes, and Redis that goes away."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

import pytest
import uvloop

from mlapi.access.key_text import ApiKey
from mlapi.bench.load import Target, open_loop
from mlapi.bench.outcome import Outcome
from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.dialects import DIALECTS
from tests.service_process import HOST, ServiceProcess, eventually
from tools.private_redis import PrivateRedis

# A burst of a second: while a busy machine holds the callers up for less, nothing of what they may ask for is lost.
RATE, BURST, TEXTS = 1_000, 1_000, 10


class Alone:
    """A process that counts for itself, and its keys."""

    def __init__(self, folder: Path) -> None:
        self.file = KeysFile(folder)
        self.slow = self.file.add("slow", quota={"texts_per_second": 1, "burst": 5, "texts_per_day": 1_000})
        self.daily = self.file.add("daily", quota={"texts_per_day": 3})
        self.hits = self.file.add("hits", quota={"texts_per_second": 0.01, "burst": 10, "cost_hit": 0.1})
        self.free = self.file.add("free")
        self.of_dialects = {
            name: [self.file.add(f"{name} {path}", quota={"texts_per_day": 4}) for path in dialect.paths]
            for name, dialect in DIALECTS.items()
        }
        self.service = ServiceProcess(engine="fake", keys_file=str(self.file.path))

    def statuses(self, key: ApiKey, requests: int, texts: list[str]) -> list[int]:
        return [self.service.predict(texts, headers=bearer(key)).status_code for _ in range(requests)]

    def texts(self, key: ApiKey, result: str) -> float:
        return self.service.metric("mlapi_key_texts_total", key=key.id, result=result)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    made = Alone(tmp_path_factory.mktemp("keys"))
    with made.service:
        yield made
        assert made.service.complaints == []


def test_a_refusal_says_which_quota_and_when_to_come_back(alone: Alone) -> None:
    assert alone.service.predict(["a", "b", "c", "d"], headers=bearer(alone.slow)).status_code == 200
    for path, body in (("predict", {"text": ["a", "b", "c", "d"]}), ("hf", {"inputs": ["a", "b", "c", "d"]})):
        refused = alone.service.client.post(f"/project/{path}", json=body, headers=bearer(alone.slow))
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"burst";q=5;w=5, "daily";q=1000;w=86400'
        said = re.fullmatch(r'"burst";r=(\d+);t=(\d+)', refused.headers["ratelimit"])
        assert said
        assert (int(said[1]) <= 2, said[2]) == (True, refused.headers["retry-after"])
        assert 1 <= int(said[2]) <= 3
        document = refused.json()
        if path == "predict":
            assert document["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
            assert (document["code"], document["violated-policies"], document["retryable"]) == (
                "quota_exceeded",
                ["burst"],
                True,
            )
        else:
            assert document["error_type"] == "quota_exceeded"
    assert (alone.texts(alone.slow, "answered"), alone.texts(alone.slow, "refused")) == (4, 8)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "native"])
def test_every_dialect_charges_a_key_for_known_texts_too_and_refuses_in_its_own_form(alone: Alone, name: str) -> None:
    dialect = DIALECTS[name]
    for place, key in enumerate(alone.of_dialects[name]):
        assert alone.statuses(key, 1, ["a"]) == [200]
        statuses = []
        for _ in range(4):
            answer = dialect.ask(alone.service.client, ["a"], path=place, **bearer(key))
            statuses.append(answer.status_code)
        assert statuses == [200, 200, 200, 429], dialect.paths[place]
        assert "4 texts a day" in dialect.error(answer.json())
        assert answer.headers["ratelimit"].startswith('"daily";r=0;t=')
        assert (alone.texts(key, "answered"), alone.texts(key, "refused")) == (4, 1)


def test_a_day_ends_at_midnight_and_what_is_refused_costs_nothing(alone: Alone) -> None:
    headers = bearer(alone.daily) | {"cache-control": "only-if-cached"}
    assert [alone.service.predict(["one", "two"], headers=headers).status_code for _ in range(5)] == [504] * 5
    assert alone.statuses(alone.daily, 2, ["one", "two"]) == [200, 429]
    assert alone.statuses(alone.daily, 2, ["one"]) == [200, 429]
    refused = alone.service.predict("one", headers=bearer(alone.daily))
    assert refused.headers["ratelimit"].startswith('"daily";r=0;t=')
    assert abs(int(refused.headers["retry-after"]) - (86_400 - time.time() % 86_400)) < 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/project/predict?truncate=false", {"text": ["short", "long " * 600]}),
        ("/project/api/v1/text/contents", {"contents": ["a", "b"], "detector_params": {"safe_labels": ["NEUTRAL"]}}),
        ("/project/api/v1/text/contents", {"contents": ["a b", "c"], "detector_params": {"max_length": 1}}),
    ],
    ids=["too long to be cut", "a label that the model does not have", "more tokens than the caller wants"],
)
def test_what_is_refused_when_its_answer_is_written_costs_nothing(
    alone: Alone, path: str, body: dict[str, object]
) -> None:
    key = alone.file.add(f"refused {path} {sorted(body)}", quota={"texts_per_day": 2})
    eventually(lambda: alone.service.predict([], headers=bearer(key)).status_code == 422, "the key is known")
    for _ in range(5):
        assert alone.service.client.post(path, json=body, headers=bearer(key)).status_code == 422
    assert (alone.texts(key, "answered"), alone.texts(key, "refused")) == (0, 0)
    assert alone.statuses(key, 2, ["one", "two"]) == [200, 429]


def test_a_text_that_the_cache_knows_costs_less(alone: Alone) -> None:
    texts = [f"cheap {number}" for number in range(8)]
    assert alone.service.predict(texts, headers=bearer(alone.free)).status_code == 200
    # Ten texts of burst are a hundred known ones: twelve requests of eight, on the short way or not.
    assert alone.statuses(alone.hits, 13, texts) == [200] * 12 + [429]


def test_texts_are_counted_by_key_and_a_key_that_is_gone_is_not_kept(alone: Alone) -> None:
    before = alone.texts(alone.free, "answered")
    assert set(alone.statuses(alone.free, 30, ["many", "texts"])) == {200}
    assert alone.texts(alone.free, "answered") == before + 60
    gone = alone.file.add("gone")
    eventually(lambda: alone.statuses(gone, 1, ["x"]) == [200], "the key is known")
    assert alone.texts(gone, "answered") > 0
    alone.file.remove(gone)
    eventually(lambda: alone.texts(gone, "answered") == 0, "what was counted for a key goes with it")


class Three:
    """Three processes that share a Redis, and two keys."""

    def __init__(self, folder: Path, redis: PrivateRedis, stack: ExitStack) -> None:
        self.file = KeysFile(folder)
        quota = {"texts_per_second": RATE, "burst": BURST}
        self.key = self.file.add("busy", quota=quota)
        self.patient = self.file.add("patient", quota=quota)
        # On a busy machine 20 ms pass by themselves, and a process would count for itself.
        self.services = [
            stack.enter_context(
                ServiceProcess(
                    engine="fake", keys_file=str(self.file.path), redis_url=redis.url, redis_timeout_ms="500"
                )
            )
            for _ in range(3)
        ]

    async def flood(self, services: list[ServiceProcess], rate: float, seconds: float) -> list[Outcome]:
        """Ask them for ten known texts, so often a second in all, for so many seconds."""
        body = json.dumps({"text": [f"known {number}" for number in range(TEXTS)]}).encode()
        each = rate / len(services)

        def load(service: ServiceProcess) -> "asyncio.Future[Outcome]":
            target = Target(HOST, service.port, "/project", bearer(self.key))
            return asyncio.ensure_future(
                open_loop(
                    target,
                    repeat(target.post("/predict", body)),
                    rate=each,
                    count=round(each * seconds),
                    connections=16,
                    clock=time.perf_counter,
                    timeout_s=60.0,
                )
            )

        return await asyncio.gather(*map(load, services))

    def charges(self, by: str) -> list[float]:
        return [service.metric("mlapi_quota_charges_total", by=by) for service in self.services]


def test_a_quota_is_exact_over_three_processes_and_each_counts_for_itself_without_redis(
    tmp_path: Path, redis: PrivateRedis
) -> None:
    with ExitStack() as stack:
        three = Three(tmp_path, redis, stack)
        patient, (one, *_) = bearer(three.patient), three.services
        for service in three.services:
            service.predict([f"known {number}" for number in range(TEXTS)], headers=patient)
        # As long that what a process has paid for in advance and not spent at the end, a third of a tenth of a second's
        # texts, is far less than the tolerance.
        outcomes = uvloop.run(three.flood(three.services, 10 * RATE / TEXTS, 6.0))
        assert {status for outcome in outcomes for status in outcome.statuses} == {200, 429}
        assert [outcome.lost for outcome in outcomes] == [0] * 3
        granted = TEXTS * sum(outcome.statuses[200] for outcome in outcomes)
        expected = BURST + RATE * max(outcome.seconds for outcome in outcomes)
        assert abs(granted / expected - 1) < 0.02, (granted, expected)
        assert (all(three.charges("shared")), three.charges("local")) == (True, [0] * 3)

        redis.stop()
        for service in three.services:
            assert {service.predict(["known 1"], headers=patient).status_code for _ in range(8)} == {200}
        (outcome,) = uvloop.run(three.flood([one], 5 * RATE / TEXTS, 1.0))
        granted = TEXTS * outcome.statuses[200]
        # Not refused wrongly, and limited.
        assert 0.95 * RATE < granted < 2 * BURST + 1.05 * RATE * outcome.seconds
        assert three.charges("local")[0]
        redis.restart()
        before = three.charges("shared")[0]
        eventually(
            lambda: one.predict(["known 1"], headers=patient).is_success and three.charges("shared")[0] > before,
            "quotas are shared again",
            20.0,
        )
