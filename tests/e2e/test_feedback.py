"""Opinions on answers over HTTP: taken when they are safe, checked, limited, and no business of predictions."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlapi.app import create_app
from mlapi.errors import ConfigurationError
from mlapi.settings import read_settings
from tests.command_line import mlapi
from tests.service_process import ServiceProcess, eventually, run_mlapi
from tools.private_postgres import PrivatePostgres

TEXT = "Well, that was two hours."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, str]:
    return {"feedback_url": f"sqlite:///{folder}/data/feedback.db", "feedback_votes_per_minute": "1000"}


@pytest.fixture(scope="module")
def service(settings: dict[str, Any]) -> Iterator[ServiceProcess]:
    with ServiceProcess(
        engine="fake", client_header="x-user", feedback_ask_share="0.5", cors_origins="*", **settings
    ) as running:
        yield running


def answer(service: ServiceProcess, text: str = TEXT) -> dict[str, Any]:
    """The details of an answer, and its label."""
    body = service.predict(text, query="?detail=true").raise_for_status().json()
    detail: dict[str, Any] = body["details"][0]
    return detail | {"label": body["predictions"][0][0]["label"]}


def send(service: ServiceProcess, body: object, user: str = "alice", **headers: str) -> httpx.Response:
    return service.client.post(f"{service.root}/feedback", json=body, headers={"x-user": user, **headers})


def other(label: str) -> str:
    return {"POSITIVE": "NEGATIVE", "NEGATIVE": "POSITIVE"}[label]


def test_an_opinion_is_taken_replaced_and_the_same_again_is_nothing_new(
    service: ServiceProcess, settings: dict[str, str]
) -> None:
    given = answer(service)
    before = service.metric("mlapi_feedback_votes_total")
    expected = [(201, "created"), (200, "unchanged"), (201, "replaced")]
    for (status, did), label in zip(expected, (given["label"], given["label"], other(given["label"])), strict=True):
        response = send(service, {"id": given["id"], "label": label})
        assert (response.status_code, response.json()) == (
            status,
            {"feedback": [{"id": given["id"], "status": did, "text_kept": False}]},
        )
        assert response.headers["x-request-id"]
    assert service.metric("mlapi_feedback_votes_total") - before == 2
    code, said = mlapi(settings, "learn", "verify")
    assert (code, "events" in said) == (0, True)


def test_text_and_comment_are_kept_with_consent_only(service: ServiceProcess, folder: Path) -> None:
    words = "unmistakable words in a text"
    given = answer(service, words)
    response = send(service, {"id": given["id"], "label": given["label"], "text": words, "comment": "odd remark"})
    assert response.json()["feedback"][0] == {"id": given["id"], "status": "created", "text_kept": False}

    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in (folder / "data").iterdir())

    assert words.encode() not in stored()
    assert b"odd remark" not in stored()
    consenting = {"id": given["id"], "label": given["label"], "text": words, "comment": "odd remark", "consent": True}
    assert send(service, consenting).json()["feedback"][0]["text_kept"] is True
    assert words.encode() in stored()
    assert b"odd remark" in stored()
    assert b"alice" not in stored()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "data").iterdir()} == {0o600}


def test_a_list_is_taken_whole_or_not_at_all(service: ServiceProcess) -> None:
    good, bad = answer(service, "one of several"), answer(service, "two of several")
    wrong = [
        {"id": good["id"], "label": "POSITIVE"},
        {"id": bad["id"], "label": "WONDERFUL"},
        {"id": bad["id"].replace("-", "+"), "label": "POSITIVE"},
        {"id": bad["id"], "label": "POSITIVE", "text": "another text"},
    ]
    response = send(service, {"feedback": wrong}, user="bob")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"] == [
        {"pointer": "/feedback/1/label", "detail": "must be one of NEGATIVE, POSITIVE"},
        {"pointer": "/feedback/2/id", "detail": "is not the id of an answer of this model"},
        {"pointer": "/feedback/3/text", "detail": "is not the text of this answer"},
    ]
    response = send(service, {"feedback": [wrong[0], {"id": bad["id"], "label": "POSITIVE"}]}, user="bob")
    assert [entry["status"] for entry in response.json()["feedback"]] == ["created", "created"]


def test_a_text_belongs_to_its_answer_however_it_is_spelled(service: ServiceProcess) -> None:
    """What the model reads is what counts, as for the cache."""
    given = answer(service, "Fine Film")
    for spelling, status in (("  fine   FILM ", 201), ("fine films", 422)):
        response = send(service, {"id": given["id"], "label": "POSITIVE", "text": spelling}, user="carol")
        assert response.status_code == status, response.text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b'{"id": ', 400, "invalid_json"),
        ('{"id": 1}'.encode("utf-16"), 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"id": "x"}', 422, "invalid_request"),
        (b'{"id": "x", "label": 1}', 422, "invalid_request"),
        (b'{"id": "x", "label": "POSITIVE", "more": 1}', 422, "invalid_request"),
        (b'{"feedback": []}', 422, "invalid_request"),
        (b'{"feedback": [], "id": "x"}', 422, "invalid_request"),
        (b'{"feedback": [[]]}', 422, "invalid_request"),
        (json.dumps({"feedback": [{"id": "x", "label": "y"}] * 101}).encode(), 413, "batch_too_large"),
        (json.dumps({"id": "x", "label": "y", "text": "z" * 20_001}).encode(), 422, "invalid_request"),
        (json.dumps({"id": "x", "label": "y", "comment": "z" * 1_001}).encode(), 422, "invalid_request"),
        (b'{"feedback": [{"id": "x", "label": "y"}, 7]}', 422, "invalid_request"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", 422, "invalid_request"),
    ],
)
def test_what_is_no_opinion_is_refused_in_words(service: ServiceProcess, body: bytes, status: int, code: str) -> None:
    response = service.client.post("/project/feedback", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_the_route_speaks_http_as_the_others_do(service: ServiceProcess) -> None:
    assert service.client.get("/project/feedback").status_code == 405
    assert service.client.options("/project/feedback").headers["allow"] == "OPTIONS, POST"
    media = service.client.post("/project/feedback", content=b"x", headers={"content-type": "text/plain"})
    assert media.status_code == 415
    asked = service.client.post("/project/feedback?consent=true", json={"id": "x", "label": "y"})
    assert (asked.status_code, "parameters in the body" in asked.json()["detail"]) == (422, True)
    crossing = send(service, {}, Origin="https://app.example.com")
    assert crossing.headers["access-control-allow-origin"] == "*"
    documented = service.client.get("/project/openapi.json").json()["paths"]
    assert {"200", "201", "422", "429", "503"} <= set(documented["/project/feedback"]["post"]["responses"])


def test_some_answers_ask_for_an_opinion_and_say_so_in_their_details_only(service: ServiceProcess) -> None:
    texts = [f"text number {number}" for number in range(200)]
    details = service.predict(texts, query="?detail=true").json()["details"]
    asked = [detail for detail in details if "ask" in detail]
    assert all(detail["ask"] is True for detail in asked)
    # A half by the text, and of the others a half by chance.
    assert 110 <= len(asked) <= 190
    assert b"ask" not in service.predict(texts).content


def test_an_id_is_of_one_model_and_one_secret(service: ServiceProcess, folder: Path) -> None:
    given = answer(service)
    with ServiceProcess(engine="fake", feedback_url=f"sqlite:///{folder}/other.db") as stranger:
        assert send(stranger, {"id": given["id"], "label": "POSITIVE"}).status_code == 422
        assert answer(stranger)["id"].split("-")[:2] == given["id"].split("-")[:2]


def test_without_the_setting_there_is_nothing_of_it() -> None:
    with ServiceProcess(engine="fake") as plain:
        detail = answer(plain)
        assert [len(part) for part in detail["id"].split("-")] == [32, 32]
        assert "ask" not in detail
        assert plain.client.post("/project/feedback", json={}).status_code == 404
        assert "mlapi_feedback" not in plain.client.get("/metrics").text
        assert "sqlite" not in Path(f"/proc/{plain.pid}/maps").read_text(encoding="ascii")


def test_the_owner_of_the_store_erases_and_verifies(
    service: ServiceProcess, settings: dict[str, str], folder: Path
) -> None:
    given = answer(service, "to be forgotten")
    send(service, {"id": given["id"], "label": "POSITIVE", "text": "to be forgotten", "consent": True}, user="dave")
    send(service, {"id": given["id"], "label": "NEGATIVE"}, user="erin")
    _, said = mlapi(settings, "learn", "verify")
    head = said.split()[-1]

    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in (folder / "data").iterdir())

    assert b"to be forgotten" in stored()
    assert mlapi(settings, "learn", "purge", "--subject", "erin") == (0, "erased 1 opinions and 0 texts\n")
    assert mlapi(settings, "learn", "purge", "--id", given["id"]) == (0, "erased 1 opinions and 1 texts\n")
    assert b"to be forgotten" not in stored()
    assert mlapi(settings, "learn", "purge")[0] == 0
    code, said = mlapi(settings, "learn", "verify", "--head", head)
    assert code == 0, said
    assert mlapi(settings, "learn", "verify", "--head", "0" * 64)[0] == 1
    code, said = mlapi(settings, "learn", "purge", "--id", "x")
    assert (code, "is not the id" in said) == (2, True)


def test_a_subject_that_sends_too_much_is_told_when_to_come_back(folder: Path) -> None:
    with ServiceProcess(
        engine="fake",
        feedback_url=f"sqlite:///{folder}/limited.db",
        feedback_votes_per_minute="2",
        client_header="x-user",
    ) as limited:
        given = answer(limited)["id"]
        statuses = [send(limited, {"id": given, "label": label}).status_code for label in ("POSITIVE", "NEGATIVE")]
        response = send(limited, {"id": given, "label": "POSITIVE"})
        assert (statuses, response.status_code, response.json()["code"]) == ([201, 201], 429, "too_many_votes")
        assert 1 <= int(response.headers["retry-after"]) <= 30
        assert send(limited, {"id": given, "label": "POSITIVE"}, user="bob").status_code == 201


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feedback_url": "mysql://host/name"}, "must be empty, a file like sqlite:///"),
        ({"feedback_url": "sqlite:///"}, "must be empty, a file like sqlite:///"),
        ({"feedback_url": "postgresql://u:hunter2@host/name"}, "MLAPI_FEEDBACK_KEY_FILE must name"),
        ({"feedback_url": "postgresql://u:hunter2@host:port/n"}, "must be empty, a file like sqlite:///"),
        ({"feedback_url": "postgresql://u:hunter2@host/n?nonsense=1", "feedback_key_file": "KEY"}, "is not usable"),
        ({"feedback_key_file": "missing.key"}, "missing.key: No such file"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0" * 64)
    values = {f"MLAPI_{name.upper()}": value.replace("KEY", str(tmp_path / "key")) for name, value in changes.items()}
    with pytest.raises(ConfigurationError) as raised:
        create_app(read_settings(values), {})
    assert said in raised.value.detail
    assert "hunter2" not in raised.value.detail


def test_a_process_that_cannot_start_ends_with_2() -> None:
    done = run_mlapi("learn", "serve")
    assert (done.returncode, "MLAPI_FEEDBACK_URL must say where" in done.stderr) == (2, True)


class TestLearnServe:
    """Opinions in a process of its own with PostgreSQL, and predictions in another, which has the secret alone."""

    @pytest.fixture
    def settings(self, postgres_server: PrivatePostgres, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "key").write_text("7" * 64)
        return {
            "feedback_url": postgres_server.url,
            "feedback_key_file": str(tmp_path / "key"),
            "feedback_votes_per_minute": "0",
            "client_header": "x-user",
        }

    @pytest.fixture
    def learning(self, settings: dict[str, Any]) -> Iterator[ServiceProcess]:
        with ServiceProcess(command=("learn", "serve"), **settings) as running:
            yield running

    @pytest.fixture
    def serving(self, settings: dict[str, str]) -> Iterator[ServiceProcess]:
        with ServiceProcess(engine="fake", feedback_key_file=settings["feedback_key_file"]) as running:
            yield running

    def test_every_opinion_that_was_acknowledged_survives_the_death_of_the_database(
        self,
        learning: ServiceProcess,
        serving: ServiceProcess,
        settings: dict[str, str],
        postgres_server: PrivatePostgres,
    ) -> None:
        given = answer(serving)["id"]
        assert serving.client.post("/project/feedback", json={}).status_code == 404
        assert learning.client.get("/project/health").status_code == 404

        def cast(number: int) -> int:
            response = send(learning, {"id": given, "label": "POSITIVE"}, user=f"user {number}")
            if response.status_code != 201:
                assert (response.status_code, response.json()["code"]) == (503, "feedback_unavailable")
                assert int(response.headers["retry-after"]) >= 1
                # Predictions do not notice.
                assert serving.predict(TEXT).status_code == 200
            return response.status_code

        # The server ends with the thread that starts it (prctl(2), PR_SET_PDEATHSIG): so it is this one.
        with ThreadPoolExecutor(8) as pool:
            votes = [pool.submit(cast, number) for number in range(400)]
            votes[100].result()
            postgres_server.kill()
            votes[200].result()
            postgres_server.restart()
            statuses = [waiting.result() for waiting in votes]
        assert set(statuses) == {201, 503}
        assert send(learning, {"id": given, "label": "POSITIVE"}, user="afterwards").status_code == 201
        # Whoever got a 201 has an opinion there: the same again is nothing new.
        for number, status in enumerate(statuses):
            if status == 201:
                again = send(learning, {"id": given, "label": "POSITIVE"}, user=f"user {number}")
                assert again.status_code == 200, number
        assert mlapi(settings, "learn", "verify")[0] == 0

    def test_it_starts_serves_and_stops_without_a_database(
        self, learning: ServiceProcess, postgres_server: PrivatePostgres, serving: ServiceProcess
    ) -> None:
        eventually(lambda: learning.metric("mlapi_feedback_store_up") == 1, "the store is seen")
        postgres_server.kill()
        assert send(learning, {"id": answer(serving)["id"], "label": "POSITIVE"}).status_code == 503
        assert learning.metric("mlapi_feedback_store_up") == 0
        assert learning.client.get("/readyz").status_code == 200

    def test_it_loads_no_engine(self, learning: ServiceProcess) -> None:
        mapped = Path(f"/proc/{learning.pid}/maps").read_text(encoding="ascii")
        assert "openvino" not in mapped
        assert "psycopg" in mapped
        document = learning.client.get("/learn/openapi.json").json()
        assert set(document["paths"]) == {"/project/feedback", "/lab/feedback"}
        assert "Problem" in document["components"]["schemas"]
