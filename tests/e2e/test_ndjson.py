"""Lines on `bulk-predict`: answered in their order while the request still comes, each as `predict` answers a body."""

import gzip
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from backports import zstd

from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.line_stream import LineStream, ask_lines, line
from tests.e2e.raw_http import RawConnection, post
from tests.service_process import ServiceProcess, eventually

MAX_CHARS, MAX_BYTES = 100, 4_000


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(
        engine="fake", max_text_chars=str(MAX_CHARS), max_body_bytes=str(MAX_BYTES), max_texts="3", keep_alive_s="3"
    ) as process:
        yield process
        assert process.complaints == []


@pytest.mark.parametrize("query", [b"", b"?top_k=1&scores=logits", b"?threshold=0.9"])
def test_each_line_is_answered_as_a_body(service: ServiceProcess, query: bytes) -> None:
    texts: list[object] = ["one", ["two", "three"], "caf\u00e9 \u4e2d", "one"]
    service.client.post("/project/predict", json={"text": "one"})
    with LineStream(service, query=query) as stream:
        stream.send(*map(line, texts))
        stream.end()
        answers = stream.rest()
    bodies = [service.client.post("/project/predict" + query.decode(), json={"text": text}).content for text in texts]
    assert answers == [body + b"\n" for body in bodies]
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert stream.headers["model-digest"] == service.client.get("/project/model").json()["digest"]
    assert "content-length" not in stream.headers


def test_a_line_is_answered_while_the_request_still_comes(service: ServiceProcess) -> None:
    with LineStream(service, b"X-Request-Id: mine") as stream:
        for number in range(5):
            sent = line(f"sent for the first time, number {number}")
            stream.send(sent[:9])
            stream.send(sent[9:])
            (labels,) = stream.document()["predictions"]
            assert len(labels) == 2
            assert service.metric("mlapi_streams", model="project") == 1
        stream.end()
        assert stream.rest() == []
    assert stream.headers["x-request-id"] == "mine"
    eventually(lambda: not service.metric("mlapi_streams"), "the stream is over")


BAD = {
    b"{": ("invalid_json", []),
    b"": ("invalid_json", []),
    b"  ": ("invalid_json", []),
    b'{"text":7}': ("invalid_request", ["/text"]),
    b'{"text":""}': ("invalid_request", ["/text"]),
    b'{"text":["a",""]}': ("invalid_request", ["/text/1"]),
    b'{"text":"a","id":1}': ("invalid_request", ["/id"]),
    b'{"text":[]}': ("invalid_request", ["/text"]),
    b'{"text":["a","b","c","d"]}': ("batch_too_large", []),
    b'{"text":"\xff"}': ("invalid_json", []),
    json.dumps({"text": "x" * (MAX_CHARS + 1)}).encode(): ("invalid_request", ["/text"]),
    b'{"text":"' + b"x" * MAX_BYTES: ("payload_too_large", []),
    b"x" * 300_000: ("payload_too_large", []),
}


def test_a_bad_line_is_told_why_in_its_place(service: ServiceProcess) -> None:
    lines = [part for bad in BAD for part in (line("good"), bad + b"\n")] + [line("good")]
    with service.counting() as rises:
        answers = ask_lines(service, lines, b"X-Request-Id: of-the-stream")
    assert ["error" in answer for answer in answers] == [False, True] * len(BAD) + [False]
    for (code, pointers), answer in zip(BAD.values(), answers[1::2], strict=True):
        problem = answer["error"]
        assert (problem["code"], [item["pointer"] for item in problem.get("errors", [])]) == (code, pointers)
        assert problem["request_id"] == "of-the-stream"
    assert rises['mlapi_stream_lines_total{model="project",result="refused"}'] == len(BAD)
    assert rises['mlapi_stream_lines_total{model="project",result="answered"}'] == len(BAD) + 1
    sources = sum(rise for name, rise in rises.items() if name.startswith("mlapi_texts_total"))
    assert sources == len(BAD) + 1
    assert rises['mlapi_http_requests_total{method="POST",route="/project/bulk-predict",status="200"}'] == 1


def test_line_ends_are_what_they_are_elsewhere(service: ServiceProcess) -> None:
    assert len(ask_lines(service, [b'{"text":"a"}\r\n{"text":"b"}\n{"text":"c"}'])) == 3
    assert ask_lines(service, [b""]) == []
    assert [set(answer) for answer in ask_lines(service, [b'\xef\xbb\xbf{"text":"a"}\n', b"\n"])] == [
        {"predictions"},
        {"error"},
    ]


def test_order_is_kept_over_many_lines_of_which_some_are_known_and_some_are_wrong(service: ServiceProcess) -> None:
    numbers = [number * 7_919 % 3_000 for number in range(6_000)]
    lines = [b"?\n" if number % 500 == 7 else line(f"number {number}") for number in numbers]
    answers = ask_lines(service, [b"".join(lines)], query=b"?detail=true")
    known: dict[int, str] = {}
    for number, answer in zip(numbers, answers, strict=True):
        if number % 500 == 7:
            assert answer["error"]["code"] == "invalid_json"
        else:
            (detail,) = answer["details"]
            assert known.setdefault(number, detail["id"]) == detail["id"]
    assert len(set(known.values())) == len(known) == 2_994


@pytest.mark.parametrize(("coding", "encode"), [(b"gzip", gzip.compress), (b"zstd", zstd.compress)])
def test_encoded_lines(service: ServiceProcess, coding: bytes, encode: object) -> None:
    assert callable(encode)
    body = encode(b"".join(line(f"encoded {number}") for number in range(500)))
    answers = ask_lines(service, [body[:10], body[10:]], b"Content-Encoding: " + coding)
    assert ["predictions" in answer for answer in answers] == [True] * 500
    *good, last = ask_lines(service, [body[:-20]], b"Content-Encoding: " + coding)
    assert all("predictions" in answer for answer in good)
    assert last["error"]["code"] == "invalid_content_encoding"


@pytest.mark.parametrize(
    ("header", "query", "status", "code"),
    [
        (b"Content-Encoding: br", b"", 415, "unsupported_content_encoding"),
        (b"Model-Digest: 0123456789ab", b"", 409, "model_mismatch"),
        (b"X-A: b", b"?topk=1", 422, "invalid_request"),
    ],
)
def test_what_is_wrong_from_the_beginning_is_refused_as_elsewhere(
    service: ServiceProcess, header: bytes, query: bytes, status: int, code: str
) -> None:
    with LineStream(service, header, query=query) as stream:
        assert stream.open() == status
        assert stream.headers["content-type"] == "application/problem+json"
        assert json.loads(stream.body())["code"] == code


def test_only_bulk_predict_takes_lines(service: ServiceProcess) -> None:
    for path in ("/project/predict", "/project/hf"):
        answer = service.client.post(path, content=line("a"), headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 415


def test_wishes_hold_for_every_line(service: ServiceProcess) -> None:
    service.predict("in the cache")
    lines = [line("in the cache"), line("not there"), line("in the cache")]
    answers = ask_lines(service, lines, b"Cache-Control: only-if-cached")
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, "not_cached", None]
    long = [line("word " * 19), line("a")]
    assert all("predictions" in answer for answer in ask_lines(service, long, query=b"?truncate=false"))


def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked(service: ServiceProcess) -> None:
    with LineStream(service, b"Expect: 100-continue") as stream:
        assert stream.open() == 100
        stream.send(line("good"))
        stream.end()
        assert stream.open() == 200
        assert len(stream.rest()) == 1


def test_a_stream_on_which_nothing_comes_is_ended(service: ServiceProcess) -> None:
    with LineStream(service) as stream:
        stream.send(line("good") + b'{"text":"half')
        assert "predictions" in stream.document()
        problem = stream.document()["error"]
        assert (problem["code"], problem["retryable"]) == ("body_timeout", True)
        assert stream.rest() == []


def test_lines_need_chunks_and_so_http_1_1(service: ServiceProcess) -> None:
    with RawConnection(service) as connection:
        request = post(line("good"), path=b"/project/bulk-predict", version=b"1.0")
        answer = connection.ask(request.replace(b"application/json", b"application/x-ndjson"))
        assert (answer.status, answer.json()["code"]) == (400, "invalid_http")


def test_a_connection_serves_on_after_lines(service: ServiceProcess) -> None:
    with httpx.Client(base_url=service.url, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(3):
            lines = client.post(
                "/project/bulk-predict", content=line("a") + line("b"), headers={"content-type": "application/jsonl"}
            )
            assert lines.text.count("predictions") == 2
            assert client.post("/project/bulk-predict", json={"text": ["a", "b"]}).status_code == 200


def test_an_instance_that_stops_says_where_to_go_on() -> None:
    with ServiceProcess(engine="fake") as service, LineStream(service) as stream:
        stream.send(line("before"))
        assert "predictions" in stream.document()
        service.send_signal(signal.SIGTERM)
        problem = stream.document()["error"]
        assert (problem["code"], problem["retryable"], problem["retry_after"]) == ("draining", True, 1)
        assert stream.rest() == []
        assert service.wait(10) == 0
        assert service.complaints == []


def test_lines_that_nobody_waits_for_are_not_computed() -> None:
    with ServiceProcess(engine="fake", module="tests.e2e.paced_service") as service:
        with LineStream(service) as stream:
            stream.send(b"".join(line(f"a text of its own, number {number}") for number in range(4_000)))
            assert "predictions" in stream.document()
        eventually(lambda: not service.metric("mlapi_streams"), "the stream is over")
        eventually(lambda: not service.metric("mlapi_queue_tokens"), "nothing waits")
        computed = service.metric("mlapi_batch_texts_sum")
        assert 0 < computed < 1_000
        assert service.predict("another").status_code == 200
        assert service.complaints == []


def test_a_caller_that_does_not_read_is_not_read_from(service: ServiceProcess) -> None:
    service.predict("known")
    service.forget_peak()
    before = service.peak_memory
    with LineStream(service) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        stream.socket.settimeout(0.5)
        block = line("known") * 4_000
        chunk = b"%x\r\n%b\r\n" % (len(block), block)
        sent = 0
        with suppress(TimeoutError):
            while sent < 100_000_000:
                sent += stream.socket.send(chunk[sent % len(chunk) :])
        assert sent < 50_000_000
        assert service.peak_memory - before < 16_000_000
        assert service.predict("known").status_code == 200


class Keyed:
    """A service with keys."""

    def __init__(self, folder: Path) -> None:
        self.file = KeysFile(folder)
        self.leaving = self.file.add("leaving")
        self.daily = self.file.add("daily", quota={"texts_per_day": 5})
        self.admin = self.file.add("operator", scopes=["admin"])
        self.service = ServiceProcess(engine="fake", keys_file=str(self.file.path))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    made = Keyed(tmp_path_factory.mktemp("keys"))
    with made.service:
        yield made
        assert made.service.complaints == []


def authorization(key: object) -> bytes:
    return f"Authorization: Bearer {key}".encode()


def test_lines_need_a_key_with_its_scope(keyed: Keyed) -> None:
    for headers, status in (([], 401), ([authorization(keyed.admin)], 403)):
        with LineStream(keyed.service, *headers) as stream:
            assert stream.open() == status


def test_a_key_pays_for_what_is_answered_and_no_more(keyed: Keyed) -> None:
    key = keyed.daily
    answers = ask_lines(keyed.service, [line("a"), b"?\n", line("b"), line("")], authorization(key))
    assert ["error" in answer for answer in answers] == [False, True, False, True]
    with LineStream(keyed.service, authorization(key)) as stream:
        for number in range(3):
            stream.send(line(f"number {number}"))
            assert "predictions" in stream.document()
        stream.send(line("one too many"), line("and another"))
        problem = stream.document()["error"]
        assert (problem["code"], problem["violated-policies"]) == ("quota_exceeded", ["daily"])
        assert stream.rest() == []
    assert keyed.service.metric("mlapi_key_texts_total", key=key.id, result="answered") == 5


def test_a_key_that_is_withdrawn_ends_its_streams(keyed: Keyed) -> None:
    with LineStream(keyed.service, authorization(keyed.leaving)) as stream:
        stream.send(line("a"))
        assert "predictions" in stream.document()
        keyed.file.remove(keyed.leaving)
        eventually(
            lambda: keyed.service.predict("a", headers=bearer(keyed.leaving)).status_code == 401, "the key is gone"
        )
        stream.send(line("a"), line("b"))
        assert stream.document()["error"]["code"] == "unauthorized"
        assert stream.rest() == []
