"""A request that names a model by its digest is answered by that model or not at all."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.problem_documents import assert_problem
from tests.e2e.raw_http import RawConnection, RawResponse, post
from tests.e2e.test_both_ways import comparable
from tests.service_process import ServiceProcess

ROUTES = {"predict": "text", "bulk-predict": "text", "hf": "inputs"}
OTHER = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        yield process
        assert process.complaints == []


@pytest.fixture(scope="module")
def digest(service: ServiceProcess) -> str:
    served: str = service.client.get("/project/model").json()["digest"]
    assert len(served) == len(OTHER)
    return served


def ask(connection: RawConnection, *pins: str, route: str = "predict", text: str = "pinned") -> RawResponse:
    """Ask a known or new text with these headers `Model-Digest`."""
    body = json.dumps({ROUTES[route]: text}).encode()
    lines = [f"Model-Digest: {pin}".encode() for pin in pins]
    return connection.ask(post(body, b"X-Request-Id: the-same", *lines, path=f"/project/{route}".encode()))


@pytest.mark.parametrize("route", ROUTES)
def test_the_model_that_is_meant_answers_as_without_the_header(
    service: ServiceProcess, digest: str, route: str
) -> None:
    with RawConnection(service) as connection:
        ask(connection, route=route)
        plain = ask(connection, route=route)
        assert plain.headers["cache-status"].startswith("mlapi; hit")
        for pin in (digest, digest[:12], digest[:31], digest.upper(), f" {digest[:20]} "):
            pinned = ask(connection, pin, route=route)
            assert (comparable(pinned.head), pinned.body) == (comparable(plain.head), plain.body), pin
        new = ask(connection, digest[:12], route=route, text=f"not known to anybody on {route}")
        assert (new.status, new.headers["model-digest"]) == (200, digest)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("known", [True, False])
def test_another_model_refuses_and_says_which_it_is(
    service: ServiceProcess,
    digest: str,
    route: str,
    known: bool,  # noqa: FBT001  a case, not a switch
) -> None:
    with RawConnection(service) as connection:
        text = "known" if known else f"asked by nobody on {route}"
        if known:
            assert ask(connection, route=route, text=text).status == 200
        # The last one shares 12 digits with the model that is served.
        for pin in (OTHER, OTHER[:12], digest[:12] + OTHER[12:]):
            with service.counting() as rises:
                refused = ask(connection, pin, route=route, text=text)
            assert (refused.status, refused.headers["model-digest"]) == (409, digest)
            assert not any(name.startswith(("mlapi_texts_total", "mlapi_batch", "mlapi_cache_op")) for name in rises)
            document = refused.json()
            detail = f"the model {digest} is served here, not {pin}"
            if route == "hf":
                assert (document["error_type"], document["error"]) == ("model_mismatch", detail)
            else:
                assert assert_problem(refused, 409, refused.status, "model_mismatch")["detail"] == detail
        assert ask(connection, route=route, text=text).status == 200, "the connection goes on"


@pytest.mark.parametrize(
    "pins",
    [
        [""],
        ["0123456789a"],
        [OTHER + "0"],
        ["g" * 32],
        ["latest"],
        [f'"{OTHER}"'],
        ["0123456789ab\u00e4"],
        [f"{OTHER}, {OTHER}"],
        [OTHER, OTHER],
    ],
)
def test_what_is_no_digest_is_refused(service: ServiceProcess, pins: list[str]) -> None:
    with RawConnection(service) as connection:
        for _ in range(2):
            refused = ask(connection, *pins)
            assert_problem(refused, 400, refused.status, "invalid_model_digest", [])
            assert "model-digest" not in refused.headers


def test_of_two_digests_the_wrong_one_is_never_overlooked(service: ServiceProcess, digest: str) -> None:
    with RawConnection(service) as connection:
        for pins in ([digest, OTHER], [OTHER, digest]):
            assert ask(connection, *pins).status == 400
