"""Bodies that are not what the route takes: each has its documented answer, never a 500, and changes nothing."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.problem_documents import assert_problem
from tests.service_process import ServiceProcess

MIB = 1024 * 1024
GOOD = {"text": ["good before and after"]}

MAY_GROW_BY = 96 * MIB
"""How much resident memory all of these bodies together may add: several times the largest body, and no more."""


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        process.predict(GOOD["text"])
        process.forget_peak()
        before = process.peak_memory
        yield process
        assert process.complaints == []
        assert process.peak_memory - before < MAY_GROW_BY
        assert process.metric("mlapi_http_requests_total", method="POST", route="/project/predict", status="500") == 0


def post(service: ServiceProcess, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.client.post(
        "/project/predict", content=content, headers={"content-type": "application/json"} | named
    )


def assert_still_serving(service: ServiceProcess) -> None:
    response = service.predict(GOOD["text"])
    assert response.status_code == 200
    assert response.headers["cache-status"].startswith("mlapi; hit;")


NOT_JSON = {
    "nothing": b"",
    "words": b"text=hello",
    "cut off": b'{"text": ["a"',
    "trailing bytes": b'{"text": ["a"]} {}',
    "single quotes": b"{'text': 'a'}",
    "a comment": b'{"text": "a"} // so',
    "a trailing comma": b'{"text": ["a",]}',
    "NaN": b'{"text": NaN}',
    "Infinity in a list": b'{"text": ["a", -Infinity]}',
    "a raw NUL": b'{"text": "a\0b"}',
    "a raw line break": b'{"text": "a\nb"}',
    "a raw escape character": b'{"text": "a\x1b[31mb"}',
    "a NUL behind": b'{"text": "a"}\0',
    "invalid UTF-8": b'{"text": "caf\xe9"}',
    "an overlong encoding": b'{"text": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"text": "\xed\xa0\x80"}',
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"text": "a"}',
    "a byte order mark alone": b"\xef\xbb\xbf",
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "UTF-16 of the wrong type": '{"text": 1}'.encode("utf-16"),
    "half an escape": b'{"text": "\\u12"}',
    "lists 100 000 deep": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100 000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "an unclosed list 8 million deep": b"[" * (8 * MIB),
    "an unclosed string": b'{"text": "' + b"a" * MIB,
    "a huge name and no end": b'{"' + b"a" * MIB + b'": 1',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_in_utf8_is_400(service: ServiceProcess, body: bytes) -> None:
    response = post(service, body)
    document = assert_problem(response, 400, response.status_code, "invalid_json", [])
    assert len(document["detail"]) < 300
    assert_still_serving(service)


WRONG_SHAPE: dict[str, tuple[Any, list[str]]] = {
    "null": (None, [""]),
    "a list": (["a"], [""]),
    "a string": ("a", [""]),
    "a number": (7, [""]),
    "an empty object": ({}, ["/text"]),
    "another member": ({"texts": ["a"]}, ["/texts", "/text"]),
    "an extra member": ({"text": "a", "lang": "en"}, ["/lang"]),
    "extra members with names that need escapes": ({"text": "a", "a/b": 1, "c~d": 2, "": 3}, ["/a~1b", "/c~0d", "/"]),
    "text is null": ({"text": None}, ["/text"]),
    "text is a number": ({"text": 1.5}, ["/text"]),
    "text is a boolean": ({"text": True}, ["/text"]),
    "text is an object": ({"text": {"0": "a"}}, ["/text"]),
    "text is an empty list": ({"text": []}, ["/text"]),
    "items of other types": ({"text": ["a", 1, "b", None, [], {}]}, ["/text/1", "/text/3", "/text/4", "/text/5"]),
    "a list in a list": ({"text": [["a"]]}, ["/text/0"]),
    "an empty text": ({"text": ""}, ["/text"]),
    "empty texts in a list": ({"text": ["a", "", "b", ""]}, ["/text/1", "/text/3"]),
    "white space only": ({"text": ["a", " \t\r\n\u00a0\u2003\u3000"]}, ["/text/1"]),
    "control characters only": ({"text": ["a", "\u0000\u0001\u001f\u007f\u0085\u200b\ufeff"]}, ["/text/1"]),
    "a NUL only": ({"text": "\u0000"}, ["/text"]),
    "a lone surrogate": ({"text": "a\ud800b"}, ["/text"]),
    "lone surrogates in a list": ({"text": ["a", "\udfff", "b", "\ud83d"]}, ["/text/1", "/text/3"]),
    "a word of a megabyte": ({"text": ["a", "x" * MIB]}, ["/text/1"]),
    "a text one character too long": ({"text": "x" * 20_001}, ["/text"]),
}


@pytest.mark.parametrize(("value", "pointers"), WRONG_SHAPE.values(), ids=WRONG_SHAPE.keys())
def test_json_of_another_shape_is_422_and_names_each_fault(
    service: ServiceProcess, value: object, pointers: list[str]
) -> None:
    response = post(service, json.dumps(value).encode())
    assert_problem(response, 422, response.status_code, "invalid_request", pointers)
    assert_still_serving(service)


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "text": "a"}',
        b'{"text": ["a"], "\\u0074e\\u0078t": ["b"]}',
        b'{"text":"a","text":""}',
        b'{"text":0,"text":"a"}',
    ],
    ids=["two values", "one value twice", "an escaped name", "without white space", "only the last has the right type"],
)
def test_a_member_given_twice_is_422(service: ServiceProcess, body: bytes) -> None:
    response = post(service, body)
    assert_problem(response, 422, response.status_code, "invalid_request", ["/text"])
    assert_still_serving(service)


FLOODS = {
    "millions of numbers": b'{"text":[' + b"1," * (3 * MIB) + b"1]}",
    "millions of objects": b'{"text":[' + b"{}," * (2 * MIB) + b"{}]}",
    "half a million members": b"{" + b",".join(b'"%x":0' % number for number in range(500_000)) + b"}",
    "half a million duplicates": b"{" + b'"text":"",' * 500_000 + b'"text":""}',
}


@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_faults_is_refused_without_a_flood_of_memory(service: ServiceProcess, body: bytes) -> None:
    service.forget_peak()
    before = service.peak_memory
    response = post(service, body)
    document = assert_problem(response, 422, response.status_code, "invalid_request")
    assert 1 <= len(document["errors"]) <= 100
    assert len(response.content) < 20_000
    assert service.peak_memory - before < 40 * MIB
    assert_still_serving(service)


def chunks(body: bytes) -> Iterator[bytes]:
    yield from (body[start : start + 65_536] for start in range(0, len(body), 65_536))


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked, without a length"])
def test_a_body_of_ten_megabytes_is_413(service: ServiceProcess, *, announced: bool) -> None:
    body = b'{"text": "' + b"a" * (10 * MIB) + b'"}'
    response = post(service, body if announced else chunks(body))
    assert ("content-length" in response.request.headers) == announced
    assert_problem(response, 413, response.status_code, "payload_too_large", [])
    assert_still_serving(service)


def test_a_body_of_exactly_the_limit_is_read(service: ServiceProcess) -> None:
    start, end = b'{"text":["a"],"x":"', b'"}'
    body = start + b"a" * (8 * MIB - len(start) - len(end)) + end
    response = post(service, body)
    assert_problem(response, 422, response.status_code, "invalid_request", ["/x"])
    response = post(service, body + b" ")
    assert_problem(response, 413, response.status_code, "payload_too_large", [])


def test_a_hundred_thousand_texts_are_413(service: ServiceProcess) -> None:
    with service.counting() as rises:
        response = service.predict([f"text {number}" for number in range(100_000)])
    assert_problem(response, 413, response.status_code, "batch_too_large", [])
    assert rises['mlapi_shed_total{model="project",reason="batch_too_large"}'] == 1
    assert_still_serving(service)


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("a \u0000good\u0000 film", "a good film"),
        ("a \u0007good\u001b film", "a good film"),
        ("x" * 20_000, "x" * 20_000),
        ("\U0001f600" * 10_000, "\U0001f600" * 10_000),
        ("\uffff\ufffd", "\uffff\ufffd"),
        ("a" + "\u0301" * 10_000, "a"),
    ],
    ids=["NUL", "control characters", "one long word", "emoji", "noncharacters", "accents without end"],
)
def test_odd_texts_are_texts(service: ServiceProcess, odd: str, plain: str) -> None:
    response = service.predict(odd)
    assert response.status_code == 200, response.text
    assert response.content == service.predict(plain).content
    assert_still_serving(service)


def test_pretty_printed_json_and_astral_escapes_are_fine(service: ServiceProcess) -> None:
    plain = service.predict(["fine \U0001f600"])
    spaced = post(service, b'\r\n {\t"text" :\n [ "fine \\ud83d\\ude00" ]\n}\n')
    escaped = post(service, b'{"\\u0074ext":["fine \\uD83D\\uDE00"]}')
    assert plain.status_code == spaced.status_code == escaped.status_code == 200
    assert plain.content == spaced.content == escaped.content
