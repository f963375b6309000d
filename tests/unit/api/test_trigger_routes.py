"""Who may ask for runs of the learning loop over HTTP, with what, and how often: the application in this process."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mlapi.feedback.runs import Runs
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback_app import create_feedback_app, require_store
from mlapi.settings import LAB_BUNDLE, Settings, read_settings
from tests.e2e.api_keys import KeysFile, bearer

PLAN: Final = """
folder = "learning"
[models.lab]
champion = "champion"
train = [["true"]]
judge = ["true"]
bundle = "bundle"
"""
EVENT: Final = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "7",
    "ce-source": "/warehouse",
    "ce-type": "io.mlapi.learning.request",
}
ALERT: Final = {
    "status": "firing",
    "labels": {"alertname": "MlapiPredictionDrift", "model": "lab"},
    "startsAt": "2026-11-29T20:00:00Z",
    "fingerprint": "0f3c9a",
}
STRUCTURED: Final = {
    "specversion": "1.0",
    "id": "7",
    "source": "/warehouse",
    "type": "io.mlapi.learning.request",
    "data": {"model": "lab"},
}


class Learning:
    """`mlapi learn serve` without its socket."""

    def __init__(self, folder: Path, **settings: str) -> None:
        (folder / "learning.toml").write_text(PLAN, encoding="utf-8")
        found = {
            "feedback_url": f"sqlite:///{folder}/feedback.db",
            "learn_file": str(folder / "learning.toml"),
            "bundle": str(LAB_BUNDLE),
            "root_path": "/lab",
            **settings,
        }
        self.settings: Settings = read_settings({f"MLAPI_{name.upper()}": value for name, value in found.items()})
        self._file = folder / "feedback.db"

    def ask(self, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:  # noqa: ANN401  whatever `work` gives
        """Do some work with a client of the application."""

        async def within() -> Any:  # noqa: ANN401  likewise
            app = create_feedback_app(self.settings)
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://learn") as client,
            ):
                return await work(client)

        return asyncio.run(within())

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> httpx.Response:
        """Send one request."""
        found = self.ask(lambda client: client.post(path, json=body, headers=headers))
        assert isinstance(found, httpx.Response)
        return found

    def runs(self) -> list[str]:
        """Return the keys of all runs."""
        database = SqliteDatabase(self._file, require_store(self.settings).fingerprint)
        try:
            return [run.key for run in Runs(database).latest("", 100)]
        finally:
            database.close()


@pytest.fixture
def learning(tmp_path: Path) -> Learning:
    return Learning(tmp_path)


JSON: Final = {"content-type": "application/json"}
CALLS: Final[list[tuple[str, dict[str, Any], dict[str, str]]]] = [
    ("/learn/alerts", {"alerts": [ALERT]}, JSON),
    ("/learn/events", {"model": "lab"}, EVENT),
]


@pytest.mark.parametrize(("path", "body", "headers"), CALLS)
def test_with_keys_only_the_scope_admin_asks_for_runs(
    tmp_path: Path, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    file = KeysFile(tmp_path)
    predicting, explaining = file.add("shop"), file.add("explaining", scopes=["predict", "explain"])
    over = file.add("over", scopes=["admin"], expires="2020-01-01T00:00:00Z")
    admin = file.add("operator", scopes=["admin"])
    removed = file.add("removed", scopes=["admin"])
    file.remove(removed)
    learning = Learning(tmp_path, keys_file=str(file.path))
    carried = [{}, *map(bearer, (predicting, explaining, over, removed))]

    async def work(client: httpx.AsyncClient) -> list[int]:
        return [(await client.post(path, json=body, headers=headers | key)).status_code for key in carried]

    assert learning.ask(work) == [401, 403, 403, 401, 401]
    assert learning.runs() == []
    assert learning.post(path, body, headers | bearer(admin)).status_code == 202
    assert len(learning.runs()) == 1


@pytest.mark.parametrize(("path", "body", "headers"), CALLS)
def test_the_same_again_makes_no_second_run(
    learning: Learning, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """Ten at the same time, and one to a process that was started since."""

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post(path, json=body, headers=headers) for _ in range(10)))

    found = learning.ask(work)
    assert [answer.status_code for answer in found] == [202] * 10
    assert {answer.json()["asked"] for answer in found} == {1}
    assert sum(len(answer.json()["new"]) for answer in found) == 1
    assert learning.post(path, body, headers).json() == {"asked": 1, "new": []}
    assert len(learning.runs()) == 1


def test_both_modes_of_an_event_are_one_event(learning: Learning) -> None:
    assert len(learning.post("/learn/events", {"model": "lab"}, EVENT).json()["new"]) == 1
    structured = {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert learning.post("/learn/events", STRUCTURED, structured).json() == {"asked": 1, "new": []}
    assert learning.post("/learn/events", STRUCTURED | {"id": "8"}, structured).json()["asked"] == 1
    assert sorted(learning.runs()) == ["event/lab//warehouse/7", "event/lab//warehouse/8"]


def test_what_fires_for_others_or_is_resolved_asks_for_nothing(learning: Learning) -> None:
    labels = ALERT["labels"]
    assert isinstance(labels, dict)
    alerts = [
        ALERT | {"status": "resolved"},
        ALERT | {"labels": labels | {"model": "unknown"}},
        ALERT | {"labels": labels | {"alertname": "MlapiDown"}},
        ALERT | {"labels": {"model": "lab"}},
    ]
    answer = learning.post("/learn/alerts", {"alerts": alerts}, JSON)
    assert (answer.status_code, answer.json()) == (202, {"asked": 0, "new": []})
    assert learning.runs() == []


def _with(**changes: object) -> tuple[dict[str, Any], dict[str, str]]:
    return STRUCTURED | changes, {"content-type": "application/cloudevents+json"}


MALFORMED: Final[list[tuple[str, object, dict[str, str], int]]] = [
    ("/learn/events", b"{", EVENT, 400),
    ("/learn/events", b"", EVENT, 400),
    ("/learn/events", [], EVENT, 422),
    ("/learn/events", {"model": 7}, EVENT, 422),
    ("/learn/events", {"model": "unknown"}, EVENT, 422),
    ("/learn/events", {"model": "lab"}, JSON, 422),
    ("/learn/events", {"model": "lab"}, EVENT | {"ce-specversion": "0.3"}, 422),
    ("/learn/events", {"model": "lab"}, EVENT | {"ce-type": "io.mlapi.learning.promoted"}, 422),
    ("/learn/events", {"model": "lab"}, EVENT | {"ce-id": ""}, 422),
    ("/learn/events", {"model": "lab"}, EVENT | {"ce-id": "7" * 301}, 422),
    ("/learn/events", {"model": "lab"}, EVENT | {"content-type": "text/plain"}, 415),
    ("/learn/events", *_with(source=""), 422),
    ("/learn/events", *_with(id=7), 422),
    ("/learn/events", *_with(id="a\0b"), 422),
    ("/learn/events", *_with(data={"model": "lab", "reason": "a\0b"}), 422),
    ("/learn/events", *_with(data=None), 422),
    ("/learn/alerts", b"{", JSON, 400),
    ("/learn/alerts", {"alerts": {}}, JSON, 422),
    ("/learn/alerts", {"alerts": [ALERT, {"status": "firing"}]}, JSON, 422),
    ("/learn/alerts", {"alerts": [ALERT] * 1001}, JSON, 422),
    ("/learn/alerts", {"alerts": [ALERT | {"fingerprint": "a\0b"}]}, JSON, 422),
    ("/learn/alerts", {"alerts": [ALERT | {"startsAt": ""}]}, JSON, 422),
]


def test_what_is_malformed_is_refused_whole(learning: Learning) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post(
                path, content=body if isinstance(body, bytes) else json.dumps(body).encode(), headers=headers
            )
            for path, body, headers, _ in MALFORMED
        ]

    answers = learning.ask(work)
    for (path, body, headers, status), answer in zip(MALFORMED, answers, strict=True):
        assert answer.status_code == status, (path, body, headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert learning.runs() == []
