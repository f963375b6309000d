"""Whatever is refused on a wire format's paths is refused in its form; and what it tells of itself is true."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.dialects import DIALECTS, Dialect, tensor
from tests.service_process import ServiceProcess

OTHERS = {name: dialect for name, dialect in DIALECTS.items() if name != "native" and "," not in name}
ROOTS = ("/project", "/lab")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(max_texts="3", max_text_chars="50", max_body_bytes="4096") as process:
        yield process
        assert process.complaints == []


def everywhere(dialect: Dialect) -> Iterator[str]:
    for path in dialect.paths:
        yield path.format(root=ROOTS[0], name=ROOTS[0][1:])


def refused(dialect: Dialect, response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    return response.status_code, dialect.error(response.json())


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_wrong_with_a_request_is_said_in_the_words_of_the_format(service: ServiceProcess, name: str) -> None:
    dialect = OTHERS[name]
    bad = 422 if name in {"Hugging Face", "TEI", "FMS"} else 400
    for path, place in zip(everywhere(dialect), range(9), strict=False):
        client = service.client
        json_type = {"content-type": "application/json"}
        status, said = refused(dialect, client.post(path, content=b"{", headers=json_type))
        assert (status, "truncated" in said) == (400, True)
        status, said = refused(dialect, client.post(path, content=b"{}", headers={"content-type": "text/plain"}))
        assert (status, said) == (415, "send the body as application/json")
        status, said = refused(dialect, client.post(path, content=b" " * 5000, headers=json_type))
        assert (status, said) == (413, "a body may have 4096 bytes")
        assert refused(dialect, client.put(path)) == (405, "PUT is not served here")
        assert refused(dialect, client.post(f"{path}?x=1", json={}))[0] == bad
        status, said = refused(dialect, dialect.ask(client, ["a"] * 4, path=place))
        assert (status, said) == (422 if name == "TEI" else 413, "4 texts; one request may hold 3")
        status, said = refused(dialect, dialect.ask(client, ["a", "b" * 51], path=place))
        assert status == bad
        assert "/1" in said
        assert "has 51 characters" in said
        status, said = refused(dialect, dialect.ask(client, ["a", " \n"], path=place))
        assert status == (400 if name == "TEI" else bad)
        assert said.endswith("is empty")
        unknown = dialect.ask(client, ["never seen"], path=place, **{"cache-control": "only-if-cached"})
        assert refused(dialect, unknown)[0] == 504
        pinned = dialect.ask(client, ["a"], path=place, **{"model-digest": "0" * 12})
        assert refused(dialect, pinned)[0] == 409
        assert pinned.headers["model-digest"] == client.get("/project/model").json()["digest"]


def test_metrics_count_what_happened_whatever_status_a_format_has_for_it(service: ServiceProcess) -> None:
    with service.counting() as rises:
        assert OTHERS["TEI"].ask(service.client, ["a"] * 4).status_code == 422
    assert rises['mlapi_http_requests_total{method="POST",route="/project/tei/predict",status="413"}'] == 1
    assert rises['mlapi_shed_total{model="project",reason="batch_too_large"}'] == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/models/another:predict", "the model another does not exist here"),
        ("/project/v1/models/another", "the model another does not exist here"),
        ("/v2/models/another/infer", "the model another does not exist here"),
        ("/project/v2/models/lab/ready", "there is no such route"),
        ("/v2/models/project/versions/000000000000/infer", "the model project is not served in this version here"),
        ("/v2/models/project/versions/1", "the model project is not served in this version here"),
        ("/v2/repository/index", "there is no such route"),
        ("/project/tei/embed", "there is no such route"),
    ],
)
def test_what_is_not_there_is_refused_in_the_form_of_its_surroundings(
    service: ServiceProcess, path: str, said: str
) -> None:
    for method in ("GET", "POST"):
        response = service.client.request(method, path)
        assert (response.status_code, response.json()["error"]) == (404, said)
    assert service.client.get("/project/nothing").headers["content-type"] == "application/problem+json"


def test_a_body_may_name_the_model_at_the_root_of_the_process(service: ServiceProcess) -> None:
    digests = {root[1:]: service.client.get(f"{root}/model").json()["digest"] for root in ROOTS}
    with service.counting() as rises:
        for name, digest in digests.items():
            response = service.client.post("/classify", json={"input": f"named {name}", "model": name})
            assert (response.json()["model"], response.headers["model-digest"]) == (name, digest)
            pinned = {"model-digest": digest}
            assert service.client.post("/classify", json={"input": "a", "model": name}, headers=pinned).is_success
    assert rises['mlapi_texts_total{model="lab",source="model"}'] >= 1
    bundle = service.client.get("/lab/model").json()["name"]
    assert service.client.post("/lab/v1/classify", json={"input": "a", "model": bundle}).json()["model"] == bundle
    for path, name in (("/classify", "another"), ("/project/classify", "lab"), ("/lab/classify", "project")):
        response = service.client.post(path, json={"input": "a", "model": name})
        assert response.status_code == 404
        assert response.json() == {
            "error": {
                "message": f"the model {name} does not exist here",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            }
        }


@pytest.mark.parametrize("root", ["/project", ""])
def test_a_version_in_the_path_holds_for_the_model_that_is_served(service: ServiceProcess, root: str) -> None:
    digest = service.client.get("/project/model").json()["digest"]
    for version in (digest[:12], digest):
        path = f"{root}/v2/models/project/versions/{version}"
        assert service.client.get(f"{path}/ready").json() == {"name": "project", "ready": True}
        assert service.client.get(path).json()["versions"] == [digest[:12]]
        with service.counting() as rises:
            answer = service.client.post(f"{path}/infer", json={"inputs": [tensor(["a"])]}).json()
        assert answer["model_version"] == digest[:12]
        route = f"{root}/v2/models/project/infer"
        assert rises[f'mlapi_http_requests_total{{method="POST",route="{route}",status="200"}}'] == 1


def test_documents_tell_what_is_served(service: ServiceProcess) -> None:
    def get(path: str) -> object:
        response = service.client.get(path)
        assert response.status_code == 200, path
        assert service.client.head(path).status_code == 200
        return response.json() if response.content else None

    model = service.client.get("/project/model").json()
    info = get("/project/tei/info")
    assert isinstance(info, dict)
    assert info["model_sha"] == model["digest"]
    assert info["max_client_batch_size"] == 3
    assert info["max_input_length"] == model["max_tokens"]
    assert info["model_type"]["classifier"]["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    for path in ("/project/tei/health", "/ping"):
        assert get(path) is None
    for root, names in (("", ["project", "lab"]), ("/project", ["project"]), ("/lab", ["lab"])):
        listed = get(f"{root}/v1/models")
        assert isinstance(listed, dict)
        assert listed["models"] == names
        assert [item["id"] for item in listed["data"]] == names
        assert get(f"{root}/v2/models") == {"models": names}
        assert get(f"{root}/v2/health/live") == {"live": True}
        assert get(f"{root}/v2/health/ready") == {"ready": True}
        for name in names:
            assert get(f"{root}/v1/models/{name}") == {"name": name, "ready": True}
            metadata = get(f"{root}/v2/models/{name}")
            answer = service.client.post(
                f"{root}/v2/models/{name}/infer",
                json={
                    "inputs": [tensor(["a"])],
                    "outputs": [{"name": item["name"]} for item in json.loads(json.dumps(metadata))["outputs"]],
                },
            ).json()
            for said, given in zip(json.loads(json.dumps(metadata))["outputs"], answer["outputs"], strict=True):
                shape = [1 if size == -1 else size for size in said["shape"]]
                assert (said["name"], said["datatype"], shape) == (given["name"], given["datatype"], given["shape"])


def test_a_client_that_sends_too_much_is_told_so_in_the_form_of_the_format() -> None:
    with ServiceProcess(client_texts_per_s="1", engine="fake") as service:
        for name, dialect in OTHERS.items():
            while (response := dialect.ask(service.client, ["a"])).is_success:
                pass
            status, said = refused(dialect, response)
            assert (status, said) == (429, "one client may send 1 texts per second"), name
            assert int(response.headers["retry-after"]) >= 1
