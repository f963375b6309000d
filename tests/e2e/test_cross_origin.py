"""Web pages of admitted origins can use the service from a browser, whatever it answers; others cannot."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess

PAGE = "https://app.example.com"
OTHER = "https://elsewhere.example.com"
READABLE = {
    "cache-status",
    "server-timing",
    "model-digest",
    "x-request-id",
    "x-truncated",
    "retry-after",
    "accept-encoding",
    "www-authenticate",
    "ratelimit",
    "ratelimit-policy",
}
BODY = b'{"text":["asked by a page"]}'
ANSWERS = {
    200: ("POST", "/project/predict", BODY),
    400: ("POST", "/project/predict", b"{"),
    404: ("POST", "/nowhere", BODY),
    405: ("GET", "/project/predict", b""),
    413: ("POST", "/project/bulk-predict", b" " * 70_000),
    422: ("POST", "/project/predict?detail=x", BODY),
}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    origins = f"{PAGE}, http://localhost:3000"
    with ServiceProcess(engine="fake", cors_origins=origins, max_body_bytes="65536") as process:
        yield process
        assert process.complaints == []


def ask(service: ServiceProcess, status: int, origin: str | None) -> httpx.Response:
    method, path, body = ANSWERS[status]
    headers = {"content-type": "application/json"} | ({"origin": origin} if origin else {})
    response = service.client.request(method, path, content=body, headers=headers)
    assert response.status_code == status
    return response


def preflight(service: ServiceProcess, origin: str, path: str = "/project/predict", **asked: str) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    return service.client.options(path, headers=headers | {name.replace("_", "-"): asked[name] for name in asked})


def granted(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def listed(value: str) -> set[str]:
    return {item.strip().lower() for item in value.split(",")}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
@pytest.mark.parametrize("status", ANSWERS)
def test_a_page_can_read_every_answer_and_its_headers(service: ServiceProcess, status: int, origin: str) -> None:
    for _ in range(3):
        response = ask(service, status, origin)
        assert response.headers["access-control-allow-origin"] == origin
        assert listed(response.headers["access-control-expose-headers"]) == READABLE
        assert listed(response.headers["vary"]) == {"origin"}
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("status", ANSWERS)
def test_a_page_of_another_origin_cannot(service: ServiceProcess, status: int) -> None:
    for origin in (OTHER, "null", PAGE.upper(), f"{PAGE}.evil.example", PAGE.replace("https", "http")):
        response = ask(service, status, origin)
        assert "access-control-allow-origin" not in response.headers
        assert listed(response.headers["vary"]) == {"origin"}


def test_what_a_shared_cache_may_keep_says_that_it_depends_on_the_origin(service: ServiceProcess) -> None:
    response = service.client.get("/project/model")
    assert granted(response) == {}
    assert listed(response.headers["vary"]) == {"origin"}


def test_the_fast_path_answers_who_sends_no_origin_and_never_who_sends_one(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        for _ in range(4):
            plain = connection.ask(post(BODY))
            crossing = connection.ask(post(BODY, f"Origin: {PAGE}".encode()))
            assert (plain.status, crossing.status, crossing.body) == (200, 200, plain.body)
            assert "access-control-allow-origin" not in plain.headers
            assert crossing.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("path", ["/project/predict", "/project/bulk-predict", "/project/health"])
def test_a_preflight_of_an_admitted_origin_says_what_a_page_may_send(service: ServiceProcess, path: str) -> None:
    wanted = "content-type,content-encoding,cache-control,x-request-id,traceparent,authorization"
    with service.counting() as rises:
        response = preflight(service, PAGE, path, access_control_request_headers=wanted)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == PAGE
    assert {"post", "get"} <= listed(response.headers["access-control-allow-methods"])
    assert listed(response.headers["access-control-allow-headers"]) == listed(wanted)
    assert int(response.headers["access-control-max-age"]) > 0
    assert "origin" in listed(response.headers["vary"])
    assert response.headers["x-request-id"]
    assert rises[f'mlapi_http_requests_total{{method="OPTIONS",route="{path}",status="204"}}'] == 1


def test_a_preflight_of_another_origin_or_for_another_method_grants_nothing(service: ServiceProcess) -> None:
    for response in (preflight(service, OTHER), preflight(service, PAGE, access_control_request_method="DELETE")):
        assert response.status_code == 204
        assert response.headers["allow"] == "OPTIONS, POST"
        assert granted(response) == {}
        assert "origin" in listed(response.headers["vary"])
