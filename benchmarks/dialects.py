"""How each peer wants to be asked, and how its answer is read."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Scores: TypeAlias = Mapping[str, float]
"""A text's probabilities by label."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to put texts into a request's body, and to read the scores of an answer's.

    `read` raises `ValueError`, `KeyError` or `TypeError` at an answer of another form.
    """

    write: Callable[[Sequence[str]], bytes]
    read: Callable[[bytes], list[Scores]]


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _scores(items: Sequence[Mapping[str, Any]]) -> Scores:
    return {str(item["label"]): float(item["score"]) for item in items}


def _read_plain(body: bytes) -> list[Scores]:
    return [_scores(items) for items in json.loads(body)["predictions"]]


def _read_list(body: bytes) -> list[Scores]:
    return [_scores(items) for items in json.loads(body)]


def _write_infinity(texts: Sequence[str]) -> bytes:
    return _dump({"model": "classifier", "input": list(texts)})


def _read_infinity(body: bytes) -> list[Scores]:
    return [_scores(items) for items in json.loads(body)["data"]]


def _write_inference_protocol(texts: Sequence[str]) -> bytes:
    column = {"name": "array_inputs", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return _dump({"inputs": [column | {"parameters": {"content_type": "str"}}]})


def _read_inference_protocol(body: bytes) -> list[Scores]:
    return [_scores([json.loads(item)]) for item in json.loads(body)["outputs"][0]["data"]]


PLAIN: Final = Dialect(lambda texts: _dump({"text": list(texts)}), _read_plain)
"""mlapi's own form."""

LISTED: Final = Dialect(PLAIN.write, _read_list)
"""The same, with the bare list as the answer."""


def _write_tei(texts: Sequence[str]) -> bytes:
    return _dump({"inputs": [[text] for text in texts]})


def _write_tensor(texts: Sequence[str]) -> bytes:
    column = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return _dump({"inputs": [column]})


def _read_tensors(body: bytes) -> list[Scores]:
    columns = {item["name"]: item["data"] for item in json.loads(body)["outputs"]}
    labels, flat = columns["labels"], columns["probabilities"]
    rows = (flat[start : start + len(labels)] for start in range(0, len(flat), len(labels)))
    return [dict(zip(labels, row, strict=True)) for row in rows]


TEI: Final = Dialect(_write_tei, _read_list)
"""mlapi's form for clients of text-embeddings-inference."""

TENSORS: Final = Dialect(_write_tensor, _read_tensors)
"""mlapi's form for clients of the Open Inference Protocol."""

INFINITY: Final = Dialect(_write_infinity, _read_infinity)
INFERENCE_PROTOCOL: Final = Dialect(_write_inference_protocol, _read_inference_protocol)
"""The Open Inference Protocol, version 2 (https://github.com/kserve/open-inference-protocol)."""
