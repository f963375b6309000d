"""`/learn` of `mlapi learn serve`: what it tells, and whom."""

import re
from collections.abc import Awaitable, Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlapi.feedback.database import Database
from mlapi.feedback.registry import Registered, Registry
from mlapi.feedback.runs import Facts, Move, Runs, State, Trigger
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback_app import require_store
from mlapi.page.learning_rendering import LoopModel, Overview, learning_page
from tests.e2e.api_keys import KeysFile, bearer
from tests.unit.api.test_trigger_routes import Learning

FIRST, SECOND = "a" * 64, "b" * 64
FORM = {"content-type": "application/x-www-form-urlencoded"}


def words(page: str | bytes) -> str:
    """Return what a page says, without its tags."""
    text = page.decode() if isinstance(page, bytes) else page
    return " ".join(unescape(re.sub("<[^>]+>", " ", text)).split())


def opened(learning: Learning, folder: Path) -> Database:
    return SqliteDatabase(folder / "feedback.db", require_store(learning.settings).fingerprint)


def happened(database: Database) -> None:
    """One model was promoted, one rejected by the gate, and a third run waits."""
    registry, runs = Registry(database), Runs(database)
    registry.register(Registered(FIRST, "lab", "d" * 64, "c" * 40), 1000)
    registry.promote(FIRST, "", "the first", 2000)
    registry.register(Registered(SECOND, "lab", "e" * 64, parent=FIRST), 3000)
    registry.reject(SECOND, "not <b>better</b>", 4000)
    for number in (1, 2):
        runs.request([Trigger(f"manual/lab/{number}", "lab", f"try & see {number}")], number * 1000)
    run = runs.claim("lab", 5000, 1000)
    assert run is not None
    facts = Facts(candidate=SECOND, lacking=("on frozen up to 0.1 of accuracy may be lost",))
    runs.advance(run, Move(State.REJECTED, facts, "refused"), 6000)


def get(path: str = "/learn", **headers: str) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    return lambda client: client.get(path, headers=headers)


def test_it_tells_of_models_decisions_and_runs_without_a_script(tmp_path: Path) -> None:
    learning = Learning(tmp_path)
    database = opened(learning, tmp_path)
    happened(database)
    database.close()

    async def work(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        return await client.get("/learn"), await client.get("/learn/page.css")

    page, style = learning.ask(work)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert style.headers["content-type"].startswith("text/css")
    assert "<script" not in page.text
    assert "<b>better" not in page.text
    said = words(page.text)
    assert f"Champion {FIRST[:12]} ." in said
    assert f"{FIRST[:12]} dddddddddddd cccccccccccc none none promoted 1970-01-01 00:00:02: the first" in said
    assert (
        f"{SECOND[:12]} eeeeeeeeeeee unknown {FIRST[:12]} none rejected 1970-01-01 00:00:04: not <b>better</b>" in said
    )
    assert "rejected 1970-01-01 00:00:06 bbbbbbbbbbbb on frozen up to 0.1 of accuracy may be lost try & see 1" in said
    assert "requested (stuck) 1970-01-01 00:00:02 none yet not asked try & see 2" in said
    assert said.count("not measured 0") == 2
    assert page.text.count("<tr ") == page.text.count('scope="row"') + page.text.count("<thead")


def test_accuracy_has_its_interval_and_few_opinions_say_so() -> None:
    found = {
        "texts": {"count": 300, "accuracy": {"value": 0.9, "low": 0.861, "high": 0.929}, "enough": True},
        "requests": {"count": 3, "accuracy": {"value": 1.0, "low": 0.438, "high": 1.0}, "enough": False},
    }
    said = words(learning_page(Overview([LoopModel("lab", [], found)], [], 1000, 5000)))
    assert "of texts 90.0% (86.1% to 92.9%) 300 " in said
    assert "of requests 100.0% (43.8% to 100.0%) 3, too few to judge by" in said
    assert "No model of the loop is the champion yet." in said
    assert "Runs, the newest first: none." in said


@pytest.mark.parametrize(
    ("state", "facts", "said"),
    [
        (State.EVALUATING, Facts(error="no report"), "not asked: no report"),
        (State.CANARY, Facts(candidate=SECOND), "passed"),
        (State.FAILED, Facts(), "not asked"),
    ],
)
def test_only_what_came_past_the_gate_passed(tmp_path: Path, state: State, facts: Facts, said: str) -> None:
    database = SqliteDatabase(tmp_path / "feedback.db", "f" * 32)
    runs = Runs(database)
    runs.request([Trigger("manual/lab/1", "lab", "why")], 1000)
    run = runs.claim("lab", 5000, 1000)
    assert run is not None
    runs.advance(run, Move(state, facts, ""), 6000)
    page = words(learning_page(Overview([], runs.latest("", 1), 10_000, 7000)))
    database.close()
    assert f" {said} why " in page


def test_with_keys_only_the_scope_admin_sees_anything(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    shop, admin = file.add("shop"), file.add("operator", scopes=["admin"])
    learning = Learning(tmp_path, keys_file=str(file.path))
    database = opened(learning, tmp_path)
    happened(database)
    database.close()

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        post = client.post
        return [
            await client.get("/learn"),
            await client.get("/learn", headers=bearer(shop)),
            await post("/learn", content="key=", headers=FORM),
            await post("/learn", content=f"key={shop}", headers=FORM),
            await post("/learn", content=f"key={admin}", headers=FORM | {"sec-fetch-site": "cross-site"}),
            await client.get("/learn", headers=bearer(admin)),
            await post("/learn", content=f"key={admin}", headers=FORM | {"sec-fetch-site": "same-origin"}),
        ]

    *refused, by_program, by_form = learning.ask(work)
    assert [answer.status_code for answer in refused] == [200, 403, 401, 403, 403]
    for answer in refused:
        assert FIRST[:12] not in answer.text
        assert "manual" not in answer.text
        assert "see 1" not in words(answer.text)
    assert 'name="key"' in refused[0].text
    assert [(answer.status_code, FIRST[:12] in answer.text) for answer in (by_program, by_form)] == [(200, True)] * 2
    assert 'name="key"' not in by_form.text


def test_a_store_that_does_not_answer_is_said_and_reloading_asks_it_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = Learning(tmp_path)
    asked = []
    latest = Runs.latest

    def counted(self: Runs, model: str, count: int) -> Any:  # noqa: ANN401  as the method
        if not model:
            asked.append(count)
        return latest(self, model, count)

    monkeypatch.setattr(Runs, "latest", counted)

    async def work(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get("/learn")).status_code for _ in range(5)]

    assert learning.ask(work) == [200] * 5
    assert len(asked) == 1
    (tmp_path / "feedback.db").write_bytes(b"no database " * 1000)
    answer = learning.ask(get())
    assert answer.status_code == 503
    assert "does not answer now" in words(answer.text)
