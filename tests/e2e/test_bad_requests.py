"""Requests that are wrong in their head: method, path, query, media type, request id; well-formed HTTP all of them."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection
from tests.service_process import ServiceProcess

BODY = b'{"text":["good"]}'
GET_ROUTES = (
    "/project/health",
    "/project/model",
    "/project/docs",
    "/project/openapi.json",
    "/livez",
    "/readyz",
    "/startupz",
    "/metrics",
)
POST_ROUTES = ("/project/predict", "/project/bulk-predict")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        yield process
        assert process.complaints == []


def post(service: ServiceProcess, path: str = "/project/predict", **headers: str) -> httpx.Response:
    request = service.client.build_request("POST", path, content=BODY)
    for name, value in headers.items():
        request.headers[name.replace("_", "-")] = value
    return service.client.send(request)


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "json",
        "*/*",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; version=1; CharSet="ISO-8859-1"',
    ],
)
def test_another_media_type_or_charset_is_415(service: ServiceProcess, media_type: str) -> None:
    response = post(service, content_type=media_type)
    assert_problem(response, 415, response.status_code, "unsupported_media_type", [])


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;  Charset="UTF-8"',
        "application/json; version=1",
        "application/vnd.example+json",
        "",
    ],
)
def test_json_by_any_of_its_names_is_accepted(service: ServiceProcess, media_type: str) -> None:
    assert post(service, content_type=media_type).status_code == 200


def test_no_media_type_is_accepted(service: ServiceProcess) -> None:
    response = post(service)
    assert "content-type" not in response.request.headers
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("routes", "allowed", "methods"),
    [
        (POST_ROUTES, "OPTIONS, POST", ("GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")),
        (GET_ROUTES, "GET, HEAD, OPTIONS", ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")),
    ],
    ids=["predictions", "the rest"],
)
def test_another_method_is_405_and_says_which_are_allowed(
    service: ServiceProcess, routes: tuple[str, ...], allowed: str, methods: tuple[str, ...]
) -> None:
    for route in routes:
        for method in methods:
            response = service.client.request(method, route)
            assert (response.status_code, response.headers["allow"]) == (405, allowed), (method, route)
            if method == "HEAD":
                assert response.content == b""
            else:
                assert_problem(response, 405, response.status_code, "method_not_allowed", [])


@pytest.mark.parametrize(("routes", "allowed"), [(POST_ROUTES, "OPTIONS, POST"), (GET_ROUTES, "GET, HEAD, OPTIONS")])
def test_options_says_which_methods_there_are(service: ServiceProcess, routes: tuple[str, ...], allowed: str) -> None:
    for route in routes:
        response = service.client.options(route)
        assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
        assert response.headers["x-request-id"]


def test_by_default_nothing_is_said_to_pages_of_other_origins(service: ServiceProcess) -> None:
    page = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    for response in (
        post(service, **page),
        post(service, "/nowhere", **page),
        service.client.get("/project/model", headers=page),
        service.client.options("/project/predict", headers=page),
    ):
        assert not {name for name in response.headers if name == "vary" or name.startswith("access-control-")}


def test_options_of_the_server_as_a_whole_says_all_methods(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        response = connection.ask(b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (response.status, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
        assert connection.ask(b"GET * HTTP/1.1\r\nHost: test\r\n\r\n").status in {400, 404}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/project/predict/",
        "/project//predict",
        "/project/predict%00",
        "/project/Predict",
        "/project/predict/1",
        "/predict",
        "/lab/predict",
        "/project/livez",
        "/%ff%fe",
        "/project/predict;x=1",
        "/" + "a" * 20_000,
    ],
    ids=lambda path: path[:40],
)
def test_an_unknown_path_is_404(service: ServiceProcess, path: str) -> None:
    for response in (post(service, path), service.client.get(path)):
        assert_problem(response, 404, response.status_code, "not_found", [])
    assert service.client.head(path).status_code == 404
    assert service.client.options(path).status_code == 404


@pytest.mark.parametrize("name", ["detail", "truncate"])
@pytest.mark.parametrize("value", ["", "yes", "2", "null", "%00", "%ff", "true%20", "true,false", "true;"])
def test_a_bad_query_parameter_is_422(service: ServiceProcess, name: str, value: str) -> None:
    response = post(service, f"/project/predict?{name}={value}")
    document = assert_problem(response, 422, response.status_code, "invalid_request", [])
    assert name in document["detail"]


@pytest.mark.parametrize(
    "query",
    [
        *("x=1", "topk=1", "detail=0&" + "a=1&" * 5_000, "%", "Detail=1", "detail=1&detail=1", "top_k=1&top_k=2"),
        *("top_k=0", "top_k=-1", "top_k=", "top_k=1.5", "top_k=%D9%A3", "top_k=1e3", "top_k=" + "9" * 5_000),
        *("threshold=-0.1", "threshold=1.1", "threshold=nan", "threshold=inf", "threshold=", "threshold=1e999"),
        *("scores=", "scores=LOGITS", "scores=raw", "scores=logits&threshold=nan"),
    ],
    ids=lambda query: query[:20],
)
@pytest.mark.parametrize("path", ["predict", "bulk-predict"])
def test_an_unknown_parameter_or_value_is_422(service: ServiceProcess, path: str, query: str) -> None:
    response = post(service, f"/project/{path}?{query}")
    document = assert_problem(response, 422, response.status_code, "invalid_request", [])
    assert "query parameter" in document["detail"]


@pytest.mark.parametrize("query", ["?", "?detail=TRUE", "?truncate=1&&", "?top_k=999999999&threshold=0&scores=logits"])
def test_a_query_that_is_merely_odd_is_served(service: ServiceProcess, query: str) -> None:
    assert post(service, f"/project/predict{query}").status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "a b",
        "a\tb",
        "a" * 129,
        "a" * 60_000,
        "caf\u00e9",
        "<script>",
        'a"b',
        "a%0d%0aX-Injected: b",
        "a,b",
        "{{7*7}}",
        "${jndi:ldap://x}",
    ],
    ids=lambda given: given[:20],
)
@pytest.mark.parametrize("path", ["/project/predict", "/project/health", "/nowhere"])
def test_a_request_id_that_is_not_sane_is_replaced(service: ServiceProcess, path: str, given: str) -> None:
    response = post(service, path, x_request_id=given)
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", response.headers["x-request-id"])
    assert "x-injected" not in response.headers


@pytest.mark.parametrize("path", ["/project/predict", "/project/health", "/nowhere"])
def test_a_sane_request_id_is_echoed_in_the_answer_and_in_the_problem(service: ServiceProcess, path: str) -> None:
    for given in ("a", "0123456789" * 12 + "01234567", "00-4bf92f35/x:y.z@host+1=2_3"):
        response = post(service, path, x_request_id=given)
        assert response.headers.get_list("x-request-id") == [given]
        assert response.is_success or response.json()["request_id"] == given


@pytest.mark.parametrize(
    "directives", ["", ",", "no-store=", 'no-store="', "only-if-cached=0, ,", "a" * 50_000, "\u00e9"]
)
def test_an_odd_cache_control_breaks_nothing(service: ServiceProcess, directives: str) -> None:
    post(service)
    assert post(service, cache_control=directives).status_code == 200


def test_invented_methods_and_paths_do_not_become_labels(service: ServiceProcess) -> None:
    with service.counting() as rises:
        for number in range(5):
            post(service, f"/invented/{number}")
            service.client.request("PROPFIND", f"/invented/{number}")
    routes = {name for name in rises if name.startswith("mlapi_http_requests_total")}
    assert routes == {
        'mlapi_http_requests_total{method="POST",route="unknown",status="404"}',
        'mlapi_http_requests_total{method="other",route="unknown",status="404"}',
        'mlapi_http_requests_total{method="GET",route="/metrics",status="200"}',
    }
