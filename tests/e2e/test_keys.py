"""With a keys file every route asks for a key, and nothing that the service writes holds one."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from mlapi.access.key_text import ApiKey, make_key
from mlapi.api.doors import OPEN_PATHS
from mlapi.app import create_app
from mlapi.settings import read_settings
from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.dialects import DIALECTS, tensor
from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, post
from tests.e2e.trace_collector import collector
from tests.service_process import ServiceProcess, eventually, run_mlapi

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
ORIGIN = {"origin": "https://app.example.com"}
BODY = b'{"text": "good"}'


class Keyed:
    """A service of two models, and its keys."""

    def __init__(self, folder: Path) -> None:
        self.file = KeysFile(folder)
        self.key = self.file.add("shop")
        self.explaining = self.file.add("explaining", scopes=["predict", "explain"])
        self.of_lab = self.file.add("lab only", models=["lab"])
        self.admin = self.file.add("operator", scopes=["admin"])
        self.elsewhere = self.file.add("another service's", models=["another"])
        self.over = self.file.add("over", expires="2020-01-01T00:00:00Z")
        self.service = ServiceProcess(keys_file=str(self.file.path), cors_origins="https://app.example.com")

    def ask(self, key: ApiKey | None, path: str = "/project/predict", text: str = "good") -> httpx.Response:
        body = {"inputs": text} if path.endswith("/hf") else {"text": text}
        return self.service.client.post(path, json=body, headers=bearer(key) if key else {})


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    made = Keyed(tmp_path_factory.mktemp("keys"))
    with made.service:
        yield made
        assert made.service.complaints == []


PAGES = create_app(read_settings({}), {}).pages
"""What browsers load; the form at a model's root brings its key in its body, see test_page.py."""


def routes() -> list[tuple[str, str]]:
    """All paths that the application has, and some that it has not, with every method."""
    app = create_app(read_settings({}), {})
    known = {context.path for context in iter_route_contexts([*app.router.routes]) if context.path}
    assert len(known) > 12
    return [(path, method) for path in sorted(known | {"/", "/project", "/nowhere", "/metrics/"}) for method in METHODS]


def test_every_route_but_the_probes_asks_for_a_key(keyed: Keyed) -> None:
    seen = set()
    for path, method in routes():
        for headers in ({}, {"authorization": f"Bearer {make_key()}"}, {"x-api-key": str(make_key(keyed.key.id))}):
            answer = keyed.service.client.request(method, path, headers=headers)
            if path in OPEN_PATHS | PAGES:
                assert answer.status_code != 401
                assert method == "GET" or answer.status_code in {200, 204, 307, 405, 415}, (path, method)
                continue
            assert answer.status_code == 401, (path, method)
            assert answer.headers["www-authenticate"].startswith('Bearer realm="mlapi"')
            seen.add(path)
        if path not in OPEN_PATHS | PAGES:
            answer = keyed.service.client.request(method, path, headers=bearer(keyed.explaining))
            assert answer.status_code not in {401, 403, 500}, (path, method)
            answer = keyed.service.client.request(method, path, headers=bearer(keyed.key))
            assert (answer.status_code == 403) == (path.endswith("/explain") and method == "POST")
    assert len(seen) > 12


def test_the_probes_and_the_metrics_are_open(keyed: Keyed) -> None:
    assert {"/livez", "/readyz", "/startupz", "/metrics"} == OPEN_PATHS
    assert [keyed.service.client.get(path).status_code for path in sorted(OPEN_PATHS)] == [200] * 4


def test_a_key_in_the_query_is_not_looked_at(keyed: Keyed) -> None:
    for name in ("key", "api_key", "access_token", "x-api-key", "authorization"):
        answer = keyed.service.client.get("/project/model", params={name: str(keyed.key)})
        assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/project/predict", "/project/bulk-predict"])
def test_a_refusal_is_a_problem_document(keyed: Keyed, path: str) -> None:
    for key, status, code in (
        (None, 401, "unauthorized"),
        (make_key(), 401, "unauthorized"),
        (keyed.over, 401, "unauthorized"),
        (keyed.of_lab, 403, "forbidden"),
        (keyed.admin, 403, "forbidden"),
    ):
        for _ in range(2):  # the second time the server knows the head
            answer = keyed.ask(key, path)
            assert_problem(answer, status, answer.status_code, code)
    assert keyed.ask(keyed.of_lab, path.replace("project", "lab")).status_code == 200
    expired, unknown = (keyed.ask(key, path).json() for key in (keyed.over, make_key()))
    assert {name: value for name, value in expired.items() if name != "request_id"} == {
        name: value for name, value in unknown.items() if name != "request_id"
    }


def test_other_dialects_refuse_in_their_own_form(keyed: Keyed) -> None:
    for key, status, code in ((None, 401, "unauthorized"), (keyed.of_lab, 403, "forbidden")):
        answer = keyed.ask(key, "/project/hf")
        document = answer.json()
        assert (answer.status_code, document["error_type"]) == (status, code)
        assert isinstance(document["error"], str)
    assert keyed.ask(keyed.key, "/project/hf").status_code == 200


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "native"])
def test_every_dialect_asks_for_a_key_of_the_model_that_is_asked(keyed: Keyed, name: str) -> None:
    dialect, client = DIALECTS[name], keyed.service.client
    for place, path in enumerate(dialect.paths):
        for key, status in ((None, 401), (make_key(), 401), (keyed.over, 401), (keyed.of_lab, 403), (keyed.admin, 403)):
            answer = dialect.ask(client, ["good"], path=place, **(bearer(key) if key else {}))
            assert answer.status_code == status, path
            assert answer.headers["content-type"] == "application/json"
            assert "API key" in dialect.error(answer.json())
            assert ("www-authenticate" in answer.headers) == (status == 401 or key == keyed.admin)
        assert dialect.ask(client, ["good"], path=place, **bearer(keyed.key)).status_code == 200
        if "{" in path:
            answer = dialect.ask(client, ["good"], path=place, root="/lab", **bearer(keyed.of_lab))
            assert answer.status_code == 200


def asks_at_the_root(model: str) -> list[tuple[str, dict[str, Any]]]:
    """Requests at the root of the process whose path or body names a model."""
    return [
        (f"/v2/models/{model}/infer", {"inputs": [tensor(["good"])]}),
        (f"/v2/models/{model}/versions/{{digest}}/infer", {"inputs": [tensor(["good"])]}),
        (f"/v1/models/{model}:predict", {"instances": ["good"]}),
        (f"/endpoints/{model}/invocations", {"inputs": "good"}),
        ("/classify", {"input": "good", "model": model}),
        ("/v1/classify", {"input": "good", "model": model}),
    ]


def test_a_key_of_one_model_reaches_no_other_through_the_root(keyed: Keyed) -> None:
    client, computed = keyed.service.client, 0.0
    for model, key, status in (("project", keyed.of_lab, 403), ("lab", keyed.of_lab, 200), ("lab", keyed.key, 200)):
        information = client.get(f"/{model}/model", headers=bearer(keyed.key)).json()
        bundle = information["name"]
        asked = [*asks_at_the_root(model), ("/classify", {"input": "good", "model": bundle})]
        if status == 403:
            asked += [("/classify", {"input": "good"}), ("/invocations", {"inputs": "good"})]
            computed = keyed.service.metric("mlapi_texts_total", model="project")
        for path, body in asked:
            # The second time a shorter way may know the text.
            for _ in range(2):
                answer = client.post(path.format(digest=information["digest"]), json=body, headers=bearer(key))
                assert answer.status_code == status, (path, body)
        if status == 403:
            assert keyed.service.metric("mlapi_texts_total", model="project") == computed, "nothing was answered"


def test_a_key_is_told_only_of_its_models(keyed: Keyed) -> None:
    client = keyed.service.client
    for key, models in ((keyed.key, ["project", "lab"]), (keyed.of_lab, ["lab"])):
        assert client.get("/v2/models", headers=bearer(key)).json() == {"models": models}
        assert client.get("/v1/models", headers=bearer(key)).json()["models"] == models
        assert client.get("/v2", headers=bearer(key)).status_code == 200
        for path in ("/v2/models/project", "/v2/models/project/ready", "/v1/models/project"):
            assert client.get(path, headers=bearer(key)).status_code == (200 if "project" in models else 403), path
    elsewhere = bearer(keyed.elsewhere)
    assert [client.get(path, headers=elsewhere).status_code for path in ("/v2/models", "/v2", "/ping")] == [403] * 3


def test_what_tells_about_a_model_asks_for_a_key_of_that_model(keyed: Keyed) -> None:
    for key, status in ((keyed.key, 200), (keyed.of_lab, 403), (None, 401)):
        headers = bearer(key) if key else {}
        for path in ("/project/model", "/project/health", "/project/openapi.json"):
            assert keyed.service.client.get(path, headers=headers).status_code == status, path
    assert keyed.service.client.get("/lab/model", headers=bearer(keyed.of_lab)).status_code == 200


def test_a_key_is_asked_for_before_the_body_is_read(keyed: Keyed) -> None:
    answer = keyed.service.client.post("/project/predict", content=b"{", headers={"content-type": "text/plain"})
    assert answer.status_code == 401


def test_a_page_may_ask_what_it_may_do_without_a_key(keyed: Keyed) -> None:
    wish = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    answer = keyed.service.client.options("/project/predict", headers=wish)
    assert (answer.status_code, "authorization" in answer.headers["access-control-allow-headers"]) == (204, True)
    refused = keyed.service.client.post("/project/predict", json={"text": "good"}, headers=ORIGIN)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]


def test_the_keys_of_one_connection_are_told_apart(keyed: Keyed) -> None:
    with RawConnection(keyed.service) as connection:
        request = post(BODY, f"Authorization: Bearer {keyed.key}".encode())
        for _ in range(3):
            assert connection.ask(request).status == 200
        assert 'detail="l1=1' in connection.ask(request).headers["cache-status"]
        assert connection.ask(post(BODY)).status == 401
        assert connection.ask(request).status == 200
        assert connection.ask(post(BODY, f"X-API-Key: {keyed.over}".encode())).status == 401


def test_a_rotation_under_load_refuses_nobody(keyed: Keyed) -> None:
    old = keyed.file.add("rotating")
    eventually(lambda: keyed.ask(old).status_code == 200, "the new key is known")
    current = [old]
    stop = threading.Event()

    def load() -> list[int]:
        statuses = []
        with httpx.Client(base_url=keyed.service.url) as client:
            while not stop.is_set():
                headers = bearer(current[0])
                statuses.append(client.post("/project/predict", json={"text": "good"}, headers=headers).status_code)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load) for _ in range(4)]
        try:
            new = keyed.file.rotate(old)
            eventually(lambda: keyed.ask(new).status_code == 200, "the second secret is known")
            current[0] = new
            # Every client has seen the new key after its request under way.
            before = keyed.service.metric("mlapi_http_requests_total", route="/project/predict")
            eventually(
                lambda: keyed.service.metric("mlapi_http_requests_total", route="/project/predict") > before + 50,
                "all clients have the new key",
            )
            keyed.file.retire(new)
            eventually(lambda: keyed.ask(old).status_code == 401, "the old secret is gone")
        finally:
            stop.set()
        statuses = [status for future in running for status in future.result()]
    assert len(statuses) > 100
    assert set(statuses) == {200}
    keyed.file.remove(new)
    eventually(lambda: keyed.ask(new).status_code == 401, "the key is gone, remembered heads too")


def test_a_broken_file_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    key = file.add("shop")
    with ServiceProcess(engine="fake", keys_file=str(file.path)) as service:
        content = file.path.read_bytes()
        assert service.metric("mlapi_keys") == 1
        file.path.write_bytes(content[:-20])
        eventually(lambda: service.metric("mlapi_keys_file_stale") == 1, "the gauge is up")
        assert service.predict("good", headers=bearer(key)).status_code == 200
        file.path.write_bytes(content)
        eventually(lambda: service.metric("mlapi_keys_file_stale") == 0, "the gauge is down")
        assert any("keys file cannot be used" in line for line in service.complaints)


def test_a_start_without_a_usable_file_fails(tmp_path: Path) -> None:
    done = run_mlapi("serve", settings={"MLAPI_KEYS_FILE": str(tmp_path / "none.json"), "MLAPI_ENGINE": "fake"})
    assert done.returncode == 3
    assert "MLAPI_KEYS_FILE=" in done.stderr


def test_no_secret_is_in_logs_traces_metrics_or_answers(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    key, over, wrong = file.add("shop"), file.add("over", expires="2020-01-01T00:00:00Z"), make_key()
    wrong_secret = make_key(key.id)
    seen: list[bytes] = []
    with collector() as traces:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with ServiceProcess(
            environment=environment, keys_file=str(file.path), engine="fake", log_level="debug"
        ) as service:
            for given in (key, over, wrong, wrong_secret):
                for headers in (bearer(given), {"x-api-key": str(given)}):
                    for _ in range(2):
                        seen.append(service.predict("good", headers=headers).content)
                        seen.append(service.client.get("/project/model", headers=headers).content)
                seen.append(service.predict("good", query=f"?api_key={given.id}", headers=bearer(given)).content)
                seen.append(service.client.post("/project/predict", content=b"{", headers=bearer(given)).content)
                with RawConnection(service) as connection:
                    connection.send(f"GET / HTTP/1.1\r\nAuthorization: Bearer {given}\r\nHost: a b\r\n\r\n".encode())
                    seen.append(connection.read().body)
            eventually(lambda: traces.received, "spans")
            seen += [service.client.get("/metrics").content, service.log.encode()]
        seen += traces.received
    assert any(b"refused a request for its API key" in item for item in seen)
    for given in (key, over, wrong, wrong_secret):
        assert [item for item in seen if given.secret in item] == []


def test_without_a_keys_file_everybody_is_let_in_and_the_log_says_so() -> None:
    with ServiceProcess(engine="fake") as service:
        assert service.predict("good").status_code == 200
        assert service.predict("good", headers=bearer(make_key())).status_code == 200
        assert service.metric("mlapi_keys") == 0
        said = [json.loads(line)["message"] for line in service.log.splitlines() if line.startswith("{")]
        assert any("everybody who reaches this service may ask it" in line for line in said)


@pytest.mark.parametrize("command", [("serve",), ("learn", "serve")], ids=["one process", "two processes"])
def test_opinions_take_a_key_of_their_own_whose_id_is_the_subject(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = KeysFile(tmp_path)
    asks, votes, of_lab = (
        file.add("asks"),
        file.add("votes", scopes=["predict", "feedback"]),
        file.add("of lab", models=["lab"], scopes=["feedback"]),
    )
    settings: dict[str, Any] = {"keys_file": str(file.path), "feedback_url": f"sqlite:///{tmp_path}/feedback.db"}
    with ServiceProcess(**settings) as service:
        answer = service.client.post("/project/predict?detail=true", json={"text": "good"}, headers=bearer(votes))
        opinion = {"id": answer.json()["details"][0]["id"], "label": "NEGATIVE"}
    with ServiceProcess(command=command, **settings) as taking:

        def send(key: ApiKey | None) -> int:
            headers = bearer(key) if key else {}
            return taking.client.post("/project/feedback", json=opinion, headers=headers).status_code

        assert [send(key) for key in (None, asks, of_lab, votes, votes)] == [401, 403, 403, 201, 200]
        assert taking.client.get("/learn/openapi.json").status_code == 401
        assert taking.client.get("/readyz").status_code == 200
