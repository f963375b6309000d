"""The requests that each kind of client sends, and what it takes down of the answers.

A list has a line for each request: name, method, path, how the body is sent, and the file that holds it, between tabs.
A body is sent as it is (`plain`), without saying how long it is (`chunked`), compressed (`gzip`), or not at all
(`none`). Of each answer a client writes a line: name, status, media type, and the body in Base64.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

_LARGE_TEXT: Final = "a body of more than a megabyte " * 600


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the status that it is answered with."""

    method: str
    path: str
    status: int = 200
    mode: str = "none"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client has seen of an answer."""

    status: int
    media_type: str
    body: bytes


def _post(text: object, *, mode: str = "plain", path: str = "/project/predict", status: int = 200) -> Case:
    return Case("POST", path, status, mode, msgspec.json.encode({"text": text}))


CASES: Final = {
    "health": Case("GET", "/project/health"),
    "a probe's head": Case("HEAD", "/livez"),
    "no such route": Case("GET", "/nowhere", 404),
    "options": Case("OPTIONS", "/project/predict", 204),
    "a known text": _post(["known to all"]),
    "the same again": _post(["known to all"]),
    "with a query": _post(["known to all"], path="/project/predict?truncate=true"),
    "in chunks": _post(["known to all"], mode="chunked"),
    "compressed": _post(["known to all"], mode="gzip"),
    "not ASCII": _post(["Ünïcode “quotes”", "你好"]),
    "many": _post(["known to all"] * 500, path="/project/bulk-predict"),
    "more than a megabyte": _post([_LARGE_TEXT] * 80, path="/project/bulk-predict"),
    "a megabyte in chunks": _post([_LARGE_TEXT] * 80, mode="chunked", path="/project/bulk-predict"),
    "a megabyte, compressed": _post([_LARGE_TEXT] * 80, mode="gzip", path="/project/bulk-predict"),
    "of the wrong shape": _post(7, status=422),
    "after all that": _post(["known to all"]),
}


def write_list(folder: Path, *, chunks: bool = True) -> Path:
    """Write the list and its bodies into a folder; without the chunks that HTTP/1.0 does not have, if told so."""
    lines = []
    for number, (name, case) in enumerate(CASES.items()):
        file = folder / f"{number}.json"
        file.write_bytes(case.body)
        if chunks or case.mode != "chunked":
            lines.append("\t".join((name, case.method, case.path, case.mode, str(file))))
    path = folder / f"{'all' if chunks else 'without-chunks'}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_answers(written: str) -> dict[str, Answer]:
    """Read what a client wrote."""
    lines = (line.split("\t") for line in written.splitlines())
    return {
        name: Answer(int(status), media_type, base64.b64decode(body, validate=True))
        for name, status, media_type, body in lines
    }
