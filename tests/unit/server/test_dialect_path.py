"""Other wire formats on the short way: a body that comes again is not read again, and L1 is asked all the same."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from mlapi.api.application import Application
from mlapi.app import create_app
from mlapi.server.dialect_path import DialectPath, dialect_paths
from mlapi.server.requests import Caller
from mlapi.settings import read_settings

TEI = b"/project/tei/predict"
TENSORS = b"/project/v2/models/project/infer"
UNIQUE = "a text that nobody may find"


def tensor(**members: object) -> bytes:
    column = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [UNIQUE, "good"]}
    return json.dumps({"inputs": [column]} | members).encode()


BODIES = {
    "hugging face": (b"/project/hf", json.dumps({"inputs": [UNIQUE, "good"], "parameters": {"top_k": 1}}).encode()),
    "instances": (b"/project/v1/models/project:predict", json.dumps({"instances": [UNIQUE, "good"]}).encode()),
    "texts": (TEI, json.dumps({"inputs": [[UNIQUE], ["good"]]}).encode()),
    "one text, logits": (TEI, json.dumps({"inputs": UNIQUE, "raw_scores": True}).encode()),
    "tensor": (TENSORS, tensor()),
    "tensor with an id": (TENSORS, tensor(id="q1")),
    "one output": (TENSORS, tensor(outputs=[{"name": "score"}])),
}


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    made = create_app(read_settings({"MLAPI_ENGINE": "fake", "MLAPI_REDIS_URL": ""}), {})
    async with made.router.lifespan_context(made):
        yield made


async def learn(app: Application) -> None:
    """Have L1 hold the texts."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        assert (await client.post("/project/predict", json={"text": [UNIQUE, "good"]})).is_success


def answer(path: DialectPath, body: bytes) -> bytes | None:
    said = path.answer(Caller(), body, "")
    return None if said is None else said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_comes_again_gets_the_same_answer(app: Application, name: str) -> None:
    target, body = BODIES[name]
    path = dialect_paths(app)[target]
    assert answer(path, body) is None, "nothing is known"
    await learn(app)
    first = answer(path, body)
    assert first
    assert [answer(path, body) for _ in range(3)] == [first] * 3
    assert len(path._reader._known) == 1


async def test_what_is_kept_of_a_body_holds_none_of_its_texts(app: Application) -> None:
    await learn(app)
    for target, body in BODIES.values():
        path = dialect_paths(app)[target]
        for _ in range(3):
            assert answer(path, body)
        assert len(path._reader._known) == 1
        assert UNIQUE not in repr(vars(path._reader._known))


async def test_a_text_that_l1_has_dropped_is_the_routes(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    await learn(app)
    target, body = BODIES["tensor"]
    path = dialect_paths(app)[target]
    for _ in range(3):
        assert answer(path, body)
    monkeypatch.setattr(app.mounts[0].served.loaded.predictor, "known", lambda _: None)
    assert answer(path, body) is None


async def test_a_body_for_another_model_is_never_answered(app: Application) -> None:
    await learn(app)
    path = dialect_paths(app)[TENSORS]
    for _ in range(3):
        assert answer(path, tensor(model_name="another")) is None
    assert len(path._reader._known) == 0


async def test_what_is_kept_of_all_bodies_is_bounded(app: Application) -> None:
    await learn(app)
    path = dialect_paths(app)[TENSORS]
    for number in range(2_000):
        body = tensor(id=f"{number:0100}")
        assert [bool(answer(path, body)) for _ in range(3)] == [True] * 3
    assert 500 < len(path._reader._known) < 1024 * 1024 / 1_000
