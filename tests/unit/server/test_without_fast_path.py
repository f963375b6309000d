"""The fast path is speed alone: without it, and under uvicorn's own protocol, the service answers the same."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mlapi.api.application import Application
from mlapi.api.served_model import LoadedModel
from mlapi.app import create_app
from mlapi.server.dialect_path import dialect_paths
from mlapi.server.fast_path import FastPath, fast_paths
from mlapi.server.fast_protocol import FastHttpConnection
from mlapi.server.protocol import HttpConnection
from mlapi.server.requests import Caller
from mlapi.server.shared import Shared
from mlapi.settings import DEFAULT_BUNDLE, read_settings
from tests.stores import until
from tests.unit.server.http_wire import DATE, LIMITS, Wire, post

JSON = b"Content-Type: application/json"
ID = b"X-Request-Id: the-same"


def ask(text: object, *lines: bytes, path: bytes = b"/project/predict") -> bytes:
    return post(json.dumps({"text": text}).encode(), JSON, ID, *lines, path=path)


def tensor(*texts: str) -> dict[str, object]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]}


def other_formats(*texts: str) -> dict[bytes, object]:
    """Return bodies as other servers' clients write them, by path."""
    return {
        b"/project/hf": {"inputs": texts},
        b"/project/tei/predict": {"inputs": [[text] for text in texts]},
        b"/lab/tei/predict": {"inputs": texts[0], "truncate": False},
        b"/project/v1/models/project:predict": {"instances": texts},
        b"/v2/models/project/infer": tensor(*texts),
        b"/invocations": {"inputs": texts},
        b"/api/v1/text/contents": {"contents": texts},
    }


def of_other_formats(*texts: str) -> list[bytes]:
    """Ask as those clients do, with wishes and without."""
    return [
        post(json.dumps(body).encode(), JSON, ID, *lines, path=path)
        for path, body in other_formats(*texts).items()
        for lines in ((), (b"Accept: text/csv",), (b"Accept: application/json",), (b"Cache-Control: no-store",))
    ]


REQUESTS = [
    ask(["good", "bad"]),
    ask(["good", "bad"]),
    ask("good"),
    ask(["good", "unknown", "good"]),
    ask(["good", "bad"], path=b"/project/bulk-predict"),
    ask(["word " * 600, "bad"]),
    ask(["word " * 600, "bad"]),
    ask(["good"], path=b"/project/predict?detail=true"),
    ask(["good"], b"Cache-Control: no-store"),
    ask(["never seen"], b"Cache-Control: only-if-cached"),
    ask(["good"], b"Model-Digest: 0123456789ab"),
    ask(["good"], b"Model-Digest: latest"),
    ask([]),
    ask([1]),
    post(b"{", JSON, ID, path=b"/project/predict"),
    post(b'{"text":["good"]}', b"Content-Type: text/plain", ID, path=b"/project/predict"),
    post(b'{"text":["good"]}', JSON, ID, path=b"/nowhere"),
    b"GET /project/health HTTP/1.1\r\nHost: test\r\n" + ID + b"\r\n\r\n",
    b"GET /project/model HTTP/1.1\r\nHost: test\r\n" + ID + b"\r\n\r\n",
    *of_other_formats("good", "bad"),
    *of_other_formats("word " * 600),
    *of_other_formats("good", " "),
    b"GET /readyz HTTP/1.1\r\nHost: test\r\n" + ID + b"\r\n\r\n",
]


@pytest.fixture
async def apps() -> AsyncIterator[list[Application]]:
    made = [create_app(read_settings({"MLAPI_ENGINE": "fake"}), {}) for _ in range(3)]
    first, second, third = made
    async with (
        first.router.lifespan_context(first),
        second.router.lifespan_context(second),
        third.router.lifespan_context(third),
    ):
        yield made


async def answers(app: Application, protocol: Callable[..., Any]) -> list[bytes]:
    """Ask everything in turn on one connection; return the answers without what no two share."""
    config = uvicorn.Config(app, http=HttpToolsProtocol, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    server = ServerState()
    server.default_headers = [(b"date", DATE)]
    connection = protocol(config, server, {}, asyncio.get_running_loop())
    wire = Wire()
    connection.connection_made(wire)
    said = []
    for number, request in enumerate(REQUESTS):
        sent = len(wire.sent)
        connection.data_received(request)
        await until(lambda: server.total_requests > number)  # noqa: B023  called at once
        said.append(re.sub(rb"(dur|uptime_s\")[=:][\d.]+", b"", wire.sent[sent:]))
    connection.connection_lost(None)
    return said


async def test_all_but_speed_is_the_same_without_it(apps: list[Application], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    original = FastPath.write

    def write(self: FastPath, model: LoadedModel, *given: Any, **named: Any) -> bytes:  # noqa: ANN401  passed on
        answer = original(self, model, *given, **named)
        assert answer is not None
        calls.append(answer)
        return answer

    monkeypatch.setattr(FastPath, "write", write)
    ours, plain, other = apps
    fast = await answers(
        ours, partial(FastHttpConnection, Shared({**fast_paths(ours), **dialect_paths(ours)}, ours.refusals, LIMITS))
    )
    assert len(calls) == 4, "the fast path answers what is known"
    assert await answers(plain, partial(HttpConnection, Shared({}, plain.refusals, LIMITS))) == fast
    assert await answers(other, HttpToolsProtocol) == fast
    assert len(calls) == 4
    statuses = [int(answer[9:12]) for answer in fast]
    own = 19
    assert statuses[:own] == [200] * 9 + [504, 409, 400, 422, 422, 400, 415, 404, 200, 200]
    others = statuses[own:-1]
    assert set(others[: len(others) // 3]) == {200, 404}, "the small model is not served"
    assert set(others) == {200, 400, 404, 422}
    short = dialect_paths(ours)
    for path, body in other_formats("good", "bad").items():
        if path.startswith(b"/lab"):
            assert path not in short
            continue
        known, unknown = (json.dumps(item).encode() for item in (body, other_formats("another")[path]))
        assert short[path].answer(Caller(), known, ""), "what is known is answered"
        assert short[path].answer(Caller(), unknown, "") is None
        assert short[path].answer(Caller(), b"{", "") is None


@pytest.mark.parametrize(
    ("settings", "environment"),
    [({}, {}), ({"CLIENT_TEXTS_PER_S": "5"}, {}), ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})],
    ids=["by default", "with a limit for clients", "with tracing"],
)
def test_it_is_on(settings: dict[str, str], environment: dict[str, str]) -> None:
    given = {"MLAPI_BUNDLE": str(DEFAULT_BUNDLE)} | {f"MLAPI_{name}": value for name, value in settings.items()}
    app = create_app(read_settings(given), environment)
    assert set(fast_paths(app)) == {b"/project/predict", b"/project/bulk-predict"}


def test_with_api_keys_other_formats_have_no_short_way(tmp_path: Path) -> None:
    """Their keys and quotas are the route's business."""
    keys = tmp_path / "keys.json"
    made = create_app(read_settings({"MLAPI_KEYS_FILE": str(keys)}), {})
    assert set(fast_paths(made)) >= {b"/project/predict", b"/lab/bulk-predict"}
    assert dialect_paths(made) == {}
    assert b"/v2/models/project/infer" in dialect_paths(create_app(read_settings({}), {}))
