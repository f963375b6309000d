"""The routes for people and the cluster, and the paths that everything is found at."""

import json
from collections.abc import Iterator

import pytest

from mlapi.bundles.store import read_manifest
from mlapi.settings import DEFAULT_BUNDLE
from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection
from tests.service_process import HOST, ServiceProcess, eventually
from tools.openapi import PATH

PUBLIC = {
    "/predict": "POST",
    "/bulk-predict": "POST",
    "/hf": "POST",
    "/health": "GET",
    "/model": "GET",
    "/docs": "GET",
    "/openapi.json": "GET",
}
CLUSTER = {"/livez": "GET", "/readyz": "GET", "/startupz": "GET", "/metrics": "GET"}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process


def status(service: ServiceProcess, method: str, path: str) -> int:
    body = json.dumps({"inputs" if path.endswith("/hf") else "text": "found"}) if method == "POST" else None
    return service.client.request(method, path, content=body).status_code


def test_every_route_of_the_contract_is_there(service: ServiceProcess) -> None:
    for path, method in PUBLIC.items():
        assert status(service, method, f"/project{path}") == 200, path
        assert status(service, method, path) == 404, path
    for path, method in CLUSTER.items():
        assert status(service, method, path) == 200, path
        assert status(service, method, f"/project{path}") == 404, path


def test_head_is_get_without_a_body(service: ServiceProcess) -> None:
    for path in (
        *(path for path, method in CLUSTER.items() if method == "GET"),
        *(f"/project{path}" for path, method in PUBLIC.items() if method == "GET"),
    ):
        with RawConnection(service) as connection:
            got = connection.ask(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            head = f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
            asked = connection.ask(head, method="HEAD")
            assert (got.status, asked.status) == (200, 200), path
            assert set(asked.headers) == set(got.headers), path
            assert asked.headers["content-type"] == got.headers["content-type"], path
            # The text of the metrics is another one each time.
            assert path == "/metrics" or asked.headers["content-length"] == got.headers["content-length"], path
            # Nothing follows the head: the next answer begins where it ends.
            assert connection.ask(head, method="HEAD").status == 200, path


def test_head_and_options_are_counted_as_what_they_are(service: ServiceProcess) -> None:
    with service.counting() as rises:
        service.client.head("/livez")
        service.client.options("/project/predict")
    assert rises['mlapi_http_requests_total{method="HEAD",route="/livez",status="200"}'] == 1
    assert rises['mlapi_http_requests_total{method="OPTIONS",route="/project/predict",status="204"}'] == 1


def test_every_route_carries_a_request_id_and_is_counted_by_its_path(service: ServiceProcess) -> None:
    for path in ("/project/health", "/livez"):
        with service.counting() as rises:
            assert service.client.get(path, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
        assert rises[f'mlapi_http_requests_total{{method="GET",route="{path}",status="200"}}'] == 1
        assert rises[f'mlapi_http_request_duration_seconds_count{{route="{path}"}}'] == 1


@pytest.mark.parametrize(("path", "said"), [("/livez", "ok\n"), ("/readyz", "ready\n"), ("/startupz", "ready\n")])
def test_probes_answer_in_words_and_are_not_cached(service: ServiceProcess, path: str, said: str) -> None:
    response = service.client.get(path)
    assert (response.status_code, response.text) == (200, said)
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["cache-control"] == "no-store"
    assert service.metric("mlapi_ready") == 1


def test_health_tells_of_the_cache_and_the_model(service: ServiceProcess) -> None:
    model = service.client.get("/project/model").json()
    assert service.client.get("/project/health").json() == {
        "status": "ok",
        "cache": {"status": "disabled"},
        "model": {"name": model["name"], "digest": model["digest"]},
    }


def test_health_with_a_dead_redis_says_degraded_and_is_still_200() -> None:
    with ServiceProcess(engine="fake", redis_url=f"redis://{HOST}:1/0") as service:
        for number in range(20):
            assert service.predict(f"computed without Redis, number {number}").status_code == 200
        eventually(lambda: service.client.get("/project/health").json()["cache"]["status"] == "degraded", "degraded")
        response = service.client.get("/project/health")
        assert response.status_code == 200
        assert response.json()["status"] == "ok"
        assert response.json()["cache"] == {"status": "degraded", "reason": "look-ups: no connection"}
        assert service.client.get("/readyz").status_code == 200


def test_the_model_is_the_bundle(service: ServiceProcess) -> None:
    manifest = read_manifest(DEFAULT_BUNDLE)
    model = service.client.get("/project/model").json()
    assert set(model) == {
        *("name", "digest", "bundle_digest", "labels", "max_tokens", "engine", "precision", "evaluation", "evaluations")
    }
    assert model["name"] == manifest.name
    assert model["labels"] == list(manifest.labels)
    assert model["max_tokens"] == manifest.max_tokens
    assert (model["engine"], model["precision"]) == (manifest.engine, manifest.precision)
    shown = ("dataset", "texts", "accuracy", "reference_accuracy", "agreement")
    assert model["evaluations"] == [{name: getattr(one, name) for name in shown} for one in manifest.evaluations]
    assert model["evaluation"] == model["evaluations"][0]
    assert model["digest"] == service.predict("which model").headers["model-digest"]
    labels = ",".join(f'{name}="{model[name]}"' for name in ("digest", "engine"))
    labels += f',model="project",name="{model["name"]}",precision="{model["precision"]}"'
    assert service.samples()[f"mlapi_model_info{{{labels}}}"] == 1


def test_the_documentation_shows_the_document(service: ServiceProcess) -> None:
    page = service.client.get("/project/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert 'data-document="openapi.json"' in page.text
    committed = PATH.read_text(encoding="utf-8")
    assert service.client.get("/project/openapi.json").json() == json.loads(committed)


@pytest.mark.parametrize("root", ["/lab", "/a/b", ""], ids=["lab", "two levels", "none"])
def test_another_root_path_moves_the_public_routes_alone(root: str) -> None:
    with ServiceProcess(engine="fake", root_path=root) as service:
        for path, method in PUBLIC.items():
            assert status(service, method, f"{root}{path}") == 200, path
            assert status(service, method, f"/project{path}") == 404, path
        for path, method in CLUSTER.items():
            assert status(service, method, path) == 200, path
        response = service.client.get(f"{root}/nowhere")
        assert_problem(response, 404, response.status_code, "not_found", [])
        documented = set(service.client.get(f"{root}/openapi.json").json()["paths"])
        assert documented >= {f"{root}{path}" for path in PUBLIC if path not in {"/docs", "/openapi.json"}}
        assert [path for path in documented if "project" in path] == []
        route = f'mlapi_http_requests_total{{method="POST",route="{root}/predict",status="200"}}'
        assert service.samples()[route] == 1
