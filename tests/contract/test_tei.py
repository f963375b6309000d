"""text-embeddings-inference's routes for a classifier have the shapes of its OpenAPI file, 1.7 to 1.9.

The shapes are written down here from `docs/openapi.json` of https://github.com/huggingface/text-embeddings-inference,
and its statuses and types of errors from `router/src/http/server.rs`, which differs from that file where it says so.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import httpx2
import msgspec
import pytest

from mlapi.app import create_app
from mlapi.settings import read_settings

Count = Annotated[int, msgspec.Meta(ge=0)]


class Prediction(msgspec.Struct, forbid_unknown_fields=True):
    label: str
    score: float


class Classifier(msgspec.Struct, forbid_unknown_fields=True):
    id2label: dict[str, str]
    label2id: dict[str, Count]


class ModelType(msgspec.Struct, forbid_unknown_fields=True):
    classifier: Classifier


class Info(msgspec.Struct, forbid_unknown_fields=True):
    """What is not optional there has no default here; `served_model_name` came with 1.9."""

    model_id: str
    model_dtype: str
    model_type: ModelType
    max_concurrent_requests: Count
    max_input_length: Count
    max_batch_tokens: Count
    max_client_batch_size: Count
    auto_truncate: bool
    tokenization_workers: Count
    version: str
    served_model_name: str
    model_sha: str | None = None
    max_batch_requests: Count | None = None
    sha: str | None = None
    docker_label: str | None = None


class Error(msgspec.Struct, forbid_unknown_fields=True):
    """The capitals are those of the schema and of the code; the file's examples have small letters."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(read_settings({"MLAPI_ENGINE": "fake", "MLAPI_REDIS_URL": "", "MLAPI_MAX_TEXTS": "3"}), {})
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test/project/tei") as made,
    ):
        yield made


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"inputs": "What is Deep Learning?"}, None),
        ({"inputs": ["What is Deep Learning?"]}, None),
        ({"inputs": [["What is Deep Learning?"]]}, 1),
        ({"inputs": [["good"], ["bad"], ["good"]], "raw_scores": False, "truncate": True}, 3),
        ({"inputs": [["good"], ["bad"]], "truncate": None, "truncation_direction": "right"}, 2),
        ({"inputs": "good", "raw_scores": True, "truncate": False, "truncation_direction": "Right"}, None),
    ],
    ids=str,
)
async def test_predict_answers_each_form_of_inputs(
    client: httpx2.AsyncClient, body: dict[str, Any], texts: int | None
) -> None:
    answer = await client.post("/predict", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    if texts is None:
        lists = [msgspec.json.decode(answer.content, type=list[Prediction], strict=True)]
    else:
        lists = msgspec.json.decode(answer.content, type=list[list[Prediction]], strict=True)
        assert len(lists) == texts
    labels = set((await info(client)).model_type.classifier.label2id)
    for items in lists:
        assert {item.label for item in items} == labels
        assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
        if not body.get("raw_scores"):
            assert sum(item.score for item in items) == pytest.approx(1)


async def info(client: httpx2.AsyncClient) -> Info:
    return msgspec.json.decode((await client.get("/info")).content, type=Info, strict=True)


async def test_info_says_what_is_true(client: httpx2.AsyncClient) -> None:
    said = await info(client)
    classifier = said.model_type.classifier
    assert {int(number): label for number, label in classifier.id2label.items()} == {
        number: label for label, number in classifier.label2id.items()
    }
    assert said.max_client_batch_size == 3
    full = [["good"]] * said.max_client_batch_size
    assert (await client.post("/predict", json={"inputs": full})).status_code == 200
    assert (await client.post("/predict", json={"inputs": [*full, ["bad"]]})).status_code == 422
    long = {"inputs": "so " * (said.max_input_length + 1), "truncate": False}
    assert (await client.post("/predict", json=long)).status_code == 422


async def test_health_has_no_body(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"inputs": ["one", "two"]}', 422, "Validation"),
        (b'{"inputs": [["one", "two"]]}', 422, "Validation"),
        (b'{"inputs": [["a"], ["b"], ["c"], ["d"]]}', 422, "Validation"),
        (b'{"inputs": ["a", "b", "c"]}', 422, "Validation"),
        (b'{"inputs": [[]]}', 422, "Validation"),
        (b'{"inputs": 7}', 422, "Validation"),
        (b'{"inputs": [["a"], "b"]}', 422, "Validation"),
        (b'{"inputs": "good", "truncation_direction": "Middle"}', 422, "Validation"),
        (b'{"inputs": "good", "top_k": 1}', 422, "Validation"),
        (b'{"inputs": ""}', 400, "Empty"),
        (b'{"inputs": []}', 400, "Empty"),
        (b'{"inputs": ', 400, "Validation"),
        (json.dumps({"inputs": "so " * 2000, "truncate": False}).encode(), 422, "Validation"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_errors_have_its_statuses_and_types(
    client: httpx2.AsyncClient, body: bytes, status: int, kind: str
) -> None:
    answer = await client.post("/predict", content=body, headers={"content-type": "application/json"})
    said = msgspec.json.decode(answer.content, type=Error, strict=True)
    assert (answer.status_code, said.error_type) == (status, kind), said.error
    assert said.error


async def test_what_it_has_beside_is_no_route_here(client: httpx2.AsyncClient) -> None:
    for path in ("/embed", "/rerank", "/similarity"):
        answer = await client.post(path, json={"inputs": "good"})
        assert answer.status_code == 404
        assert msgspec.json.decode(answer.content, type=Error).error_type == "Validation"
