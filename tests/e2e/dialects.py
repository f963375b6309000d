"""How each wire format is asked for texts, and what its answer says of them: one table for all tests."""

import csv
import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

Scores = dict[str, float]
"""What an answer says of one text, by label; of some formats the best label alone."""


@dataclass(frozen=True)
class Dialect:
    """One way to ask.

    Attributes:
        paths: where, `{root}` and `{name}` being the model's.
        write: the body for texts, and the headers that go with it.
        read: the answer's scores, one a text.
        best_only: whether it says nothing of the other labels.
        error: reads the words out of a refusal.
    """

    paths: tuple[str, ...]
    write: Callable[[Sequence[str]], Any]
    read: Callable[[httpx.Response], list[Scores]]
    error: Callable[[dict[str, Any]], str]
    best_only: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(
        self, texts: Sequence[str], *, path: int = 0, root: str = "/project"
    ) -> tuple[str, bytes, dict[str, str]]:
        """Return where to send a request for texts, its body and its headers."""
        body = self.write(texts)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} | dict(self.headers)
        if isinstance(body, bytes) and "inference-header-content-length" in sent:
            sent["inference-header-content-length"] = str(content.index(b"}]}") + 3)
        return self.paths[path].format(root=root, name=root[1:]), content, sent

    def ask(
        self, client: httpx.Client, texts: Sequence[str], *, path: int = 0, root: str = "/project", **headers: str
    ) -> httpx.Response:
        where, content, sent = self.request(texts, path=path, root=root)
        return client.post(where, content=content, headers=sent | headers)


def _pairs(items: Sequence[Mapping[str, Any]]) -> Scores:
    return {item["label"]: item["score"] for item in items}


def _columns(response: httpx.Response) -> list[Scores]:
    length = response.headers.get("inference-header-content-length")
    document = json.loads(response.content[: int(length)] if length else response.content)
    data = response.content[int(length) :] if length else b""
    columns: dict[str, list[Any]] = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            columns[output["name"]] = output["data"]
            continue
        block, data = data[:size], data[size:]
        columns[output["name"]] = unpack(output["datatype"], block)
    assert data == b""
    labels, flat = columns["labels"], columns["probabilities"]
    rows = [flat[start : start + len(labels)] for start in range(0, len(flat), len(labels))]
    scores = [dict(zip(labels, row, strict=True)) for row in rows]
    assert columns["label"] == [max(one, key=one.__getitem__) for one in scores]
    assert columns["score"] == [max(one.values()) for one in scores]
    return scores


def unpack(datatype: str, block: bytes) -> list[Any]:
    """Read a tensor in binary form."""
    if datatype != "BYTES":
        return list(struct.unpack(f"<{len(block) // 4}f", block))
    strings = []
    while block:
        (size,) = struct.unpack_from("<I", block)
        strings.append(block[4 : 4 + size].decode())
        block = block[4 + size :]
    return strings


def tensor(texts: Sequence[str], **more: Any) -> dict[str, Any]:  # noqa: ANN401  whatever JSON holds
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | more


def binary(texts: Sequence[str]) -> bytes:
    """Write a request of which texts and answers are in binary form."""
    data = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    described = tensor(texts, parameters={"binary_data_size": len(data)})
    del described["data"]
    head = {"parameters": {"binary_data_output": True}, "inputs": [described]}
    return json.dumps(head).encode() + data


def table(texts: Sequence[str]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([["inputs"], *([text] for text in texts)])
    return written.getvalue().encode()


def _message(document: dict[str, Any]) -> str:
    return str(document["message"])


def _error(document: dict[str, Any]) -> str:
    return str(document["error"])


DIALECTS: Final = {
    "native": Dialect(
        ("{root}/predict", "{root}/bulk-predict"),
        lambda texts: {"text": list(texts)},
        lambda response: [_pairs(items) for items in response.json()["predictions"]],
        lambda document: str(document["detail"]),
    ),
    "Hugging Face": Dialect(
        ("{root}/hf",),
        lambda texts: {"inputs": list(texts)},
        lambda response: [_pairs(items) for items in response.json()],
        _error,
    ),
    "TEI": Dialect(
        ("{root}/tei/predict",),
        lambda texts: {"inputs": [[text] for text in texts]},
        lambda response: [_pairs(items) for items in response.json()],
        _error,
    ),
    "vLLM": Dialect(
        ("{root}/classify", "/classify", "{root}/v1/classify", "/v1/classify"),
        lambda texts: {"input": list(texts), "model": None},
        lambda response: [{item["label"]: max(item["probs"])} for item in response.json()["data"]],
        lambda document: str(document["error"]["message"]),
        best_only=True,
    ),
    "KServe V1": Dialect(
        ("{root}/v1/models/{name}:predict", "/v1/models/{name}:predict"),
        lambda texts: {"instances": list(texts)},
        lambda response: response.json()["predictions"],
        _error,
    ),
    "Open Inference": Dialect(
        ("{root}/v2/models/{name}/infer", "/v2/models/{name}/infer"),
        lambda texts: {"inputs": [tensor(texts)]},
        _columns,
        _error,
    ),
    "Open Inference, binary": Dialect(
        ("{root}/v2/models/{name}/infer", "/v2/models/{name}/infer"),
        binary,
        _columns,
        _error,
        headers={"content-type": "application/octet-stream", "inference-header-content-length": "0"},
    ),
    "SageMaker": Dialect(
        ("/invocations", "/endpoints/{name}/invocations"),
        lambda texts: {"inputs": list(texts), "parameters": {"top_k": None}},
        lambda response: [_pairs(items) for items in response.json()],
        _message,
    ),
    "SageMaker, CSV": Dialect(
        ("/invocations", "/endpoints/{name}/invocations"),
        table,
        lambda response: [{row["label"]: float(row["score"])} for row in csv.DictReader(io.StringIO(response.text))],
        _message,
        best_only=True,
        headers={"content-type": "text/csv", "accept": "text/csv"},
    ),
    "SageMaker, lines": Dialect(
        ("/invocations", "/endpoints/{name}/invocations"),
        lambda texts: b"".join(json.dumps({"inputs": text}).encode() + b"\n" for text in texts),
        lambda response: [_pairs([json.loads(line)]) for line in response.text.splitlines()],
        _message,
        best_only=True,
        headers={"content-type": "application/jsonlines"},
    ),
    "FMS": Dialect(
        ("{root}/api/v1/text/contents", "/api/v1/text/contents"),
        lambda texts: {"contents": list(texts), "detector_params": {"threshold": 0.0}},
        lambda response: [{item["detection_type"]: item["score"] for item in items} for items in response.json()],
        _message,
    ),
}
