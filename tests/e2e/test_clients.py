"""The usual HTTP clients, with their defaults, get the same answers."""

import http.client
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from gzip import compress
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.clients.cases import CASES, Answer, Case, read_answers, write_list
from tests.e2e.raw_http import RawConnection, post
from tests.programs import find_program
from tests.service_process import HOST, ServiceProcess

_SOURCES: Final = Path(__file__).parent / "clients"
_TIMEOUT_S: Final = 60.0
_JSON: Final = {"Content-Type": "application/json"}


def by_httpx(service: ServiceProcess) -> dict[str, Answer]:
    with httpx.Client(base_url=service.url) as client:
        answers = {}
        for name, case in CASES.items():
            headers, body = _sent(case)
            content = iter([body]) if case.mode == "chunked" else body
            response = client.request(case.method, case.path, content=content or None, headers=headers)
            answers[name] = Answer(response.status_code, response.headers.get("content-type", ""), response.content)
    return answers


def by_http_client(service: ServiceProcess) -> dict[str, Answer]:
    connection = http.client.HTTPConnection(HOST, service.port, timeout=10)
    answers = {}
    for name, case in CASES.items():
        headers, body = _sent(case)
        connection.request(case.method, case.path, iter([body]) if case.mode == "chunked" else body or None, headers)
        response = connection.getresponse()
        answers[name] = Answer(response.status, response.getheader("content-type", ""), response.read())
    connection.close()
    return answers


def by_urllib(service: ServiceProcess) -> dict[str, Answer]:
    answers = {}
    for name, case in CASES.items():
        headers, body = _sent(case)
        content = iter([body]) if case.mode == "chunked" else body or None
        request = urllib.request.Request(service.url + case.path, content, headers, method=case.method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  the address is the service's
                answers[name] = Answer(response.status, response.headers.get("content-type", ""), response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                answers[name] = Answer(refused.code, refused.headers.get("content-type", ""), refused.read())
    return answers


def _sent(case: Case) -> tuple[dict[str, str], bytes]:
    if case.mode == "none":
        return {}, b""
    if case.mode == "gzip":
        return _JSON | {"Content-Encoding": "gzip"}, compress(case.body)
    return dict(_JSON), case.body


def _by_program(
    program: str, *arguments: str, script: str = "tools/clients.sh"
) -> Callable[[ServiceProcess, Path], dict[str, Answer]]:
    def run(service: ServiceProcess, requests: Path) -> dict[str, Answer]:
        command = [find_program(program, script)]
        command += [argument.format(url=service.url, list=requests) for argument in arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr
        return read_answers(done.stdout)

    return run


def _by_curl(*options: str) -> Callable[[ServiceProcess, Path], dict[str, Answer]]:
    run = _by_program("bash", str(_SOURCES / "client.sh"), "{url}", "{list}", *options)

    def run_if_there(service: ServiceProcess, requests: Path) -> dict[str, Answer]:
        find_program("curl", "your package manager to install")
        return run(service, requests)

    return run_if_there


_JAVA: Final = ("-XX:TieredStopAtLevel=1", str(_SOURCES / "Client.java"), "{url}", "{list}")
PROGRAMS: Final = {
    "Java": _by_program("java", *_JAVA, "default"),
    "Java, HTTP/1.1": _by_program("java", *_JAVA, "1.1"),
    "Go": _by_program("go-client", "{url}", "{list}", script="tools/go_tools.sh"),
    "Node": _by_program("node", str(_SOURCES / "client.mjs"), "{url}", "{list}"),
    "curl": _by_curl(),
    "curl, HTTP/1.0": _by_curl("--http1.0"),
    "curl, offering HTTP/2": _by_curl("--http2"),
}
LIBRARIES: Final = {"httpx": by_httpx, "http.client": by_http_client, "urllib": by_urllib}
WITHOUT_CHUNKS: Final = {"curl, HTTP/1.0"}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", max_texts="1000") as process:
        process.predict(["known to all"])
        yield process
        assert process.complaints == []


@pytest.fixture(scope="module")
def expected(service: ServiceProcess) -> Mapping[str, Answer]:
    """What this process's own client is answered to the bodies as they are."""
    answers = {}
    for name, case in CASES.items():
        headers = _JSON if case.body else None
        response = service.client.request(case.method, case.path, content=case.body or None, headers=headers)
        answers[name] = Answer(response.status_code, response.headers.get("content-type", ""), response.content)
    return answers


@pytest.fixture(scope="module")
def answers(
    service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, "Future[dict[str, Answer]]"]]:
    """What each client was answered; all of them run side by side, because most of the time they only start."""
    folder = tmp_path_factory.mktemp("requests")
    requests = {chunks: write_list(folder, chunks=chunks) for chunks in (True, False)}
    with ThreadPoolExecutor(len(PROGRAMS) + len(LIBRARIES)) as threads:
        programs = {
            name: threads.submit(run, service, requests[name not in WITHOUT_CHUNKS]) for name, run in PROGRAMS.items()
        }
        yield programs | {name: threads.submit(ask, service) for name, ask in LIBRARIES.items()}


@pytest.mark.parametrize("client", [*PROGRAMS, *LIBRARIES])
def test_a_client_gets_the_answers_that_all_get(
    answers: Mapping[str, "Future[dict[str, Answer]]"], expected: Mapping[str, Answer], client: str
) -> None:
    seen = answers[client].result(_TIMEOUT_S)
    sent = {name for name, case in CASES.items() if case.mode != "chunked" or client not in WITHOUT_CHUNKS}
    assert {name: answer.status for name, answer in seen.items()} == {name: CASES[name].status for name in sent}
    for name, answer in seen.items():
        assert answer.media_type == expected[name].media_type, name
        # A problem document has the id of its request.
        assert CASES[name].status >= 400 or answer.body == expected[name].body, name


KNOWN: Final = b'{"text":["known to all"]}'
USUAL: Final = {
    "percent-encoded letters": post(KNOWN, path=b"/project/%70redict"),
    "a target with scheme and host": post(KNOWN, path=b"http://test/project/predict"),
    "an empty query": post(KNOWN, path=b"/project/predict?"),
    "other media types asked for": post(KNOWN, b"Accept: text/plain, */*;q=0.1"),
    "compression and languages asked for": post(KNOWN, b"Accept-Encoding: gzip, br", b"Accept-Language: de"),
    "trailers admitted": post(KNOWN, b"TE: trailers"),
    "a connection that is kept": post(KNOWN, b"Connection: keep-alive", b"Keep-Alive: timeout=5"),
    "a charset": post(KNOWN).replace(b"application/json", b"application/json; charset=UTF-8"),
    "no media type": post(KNOWN).replace(b"Content-Type: application/json\r\n", b""),
    "a byte order mark": post(b"\xef\xbb\xbf" + KNOWN),
    "a page's headers": post(KNOWN, b"Origin: https://test", b"Referer: https://test/", b"Sec-Fetch-Mode: cors"),
    "a proxy's headers": post(KNOWN, b"Via: 1.1 test", b"X-Forwarded-For: ::1", b"Forwarded: for=192.0.2.7"),
    "another expectation": post(KNOWN, b"Expect: a-miracle"),
}


@pytest.mark.parametrize("request_bytes", USUAL.values(), ids=USUAL)
def test_what_clients_and_proxies_add_changes_nothing(service: ServiceProcess, request_bytes: bytes) -> None:
    with RawConnection(service) as connection:
        plain = connection.ask(post(KNOWN))
        for _ in range(3):
            response = connection.ask(request_bytes)
            assert (response.status, response.body) == (200, plain.body)
            assert set(response.headers) == set(plain.headers)
