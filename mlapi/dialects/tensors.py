"""The output tensors of the Open Inference Protocol: our own, and those of the runtimes that are replaced.

`label`, `score`, `probabilities`, `logits` and `labels` are typed columns; `output` is what MLServer's Hugging Face
runtime gives, `output-0` the number of the best label, as KServe's. With `classification`, probabilities and logits are
strings, as Triton's extension writes them.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal, NamedTuple

import msgspec

from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import BatchTooLargeError, InvalidRequestError, Violation
from mlapi.predictions import Prediction

_LENGTH: Final = struct.Struct("<I")


class Tensor(NamedTuple):
    """A tensor, flattened in row-major order."""

    datatype: Literal["BYTES", "FP32", "INT64"]
    shape: list[int]
    data: Sequence[Any]
    parameters: Mapping[str, Any] = {}


_MakeTensor = Callable[[Sequence[Prediction], RankedLabels, int | None], Tensor]


def read_strings(data: bytes, most: int) -> list[str]:
    """Read strings, each behind its length in four bytes, the least significant first.

    Raises:
        InvalidRequestError: the lengths do not fit, or a string is not UTF-8.
        BatchTooLargeError: more of them than `most`.
    """
    texts: list[str] = []
    place = 0
    while place < len(data):
        end = place + _LENGTH.size
        if end <= len(data):
            (size,) = _LENGTH.unpack_from(data, place)
            place, end = end, end + size
        if end > len(data):
            _refuse(len(texts), "ends within its length or its text")
        try:
            texts.append(data[place:end].decode())
        except UnicodeDecodeError:
            _refuse(len(texts), "is not UTF-8")
        if len(texts) > most:
            msg = f"more than {most} texts; one request may hold {most}"
            raise BatchTooLargeError(msg)
        place = end
    return texts


def _refuse(index: int, said: str) -> None:
    msg = "the binary data is not strings behind their lengths"
    raise InvalidRequestError(msg, violations=[Violation(f"/inputs/0/data/{index}", said)])


def encode(tensor: Tensor) -> bytes:
    """Write a tensor in binary form, the least significant byte of each number first."""
    if tensor.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(item)) + item for item in (str(item).encode() for item in tensor.data))
    numbers = array("f" if tensor.datatype == "FP32" else "q", tensor.data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _label(predictions: Sequence[Prediction], _: RankedLabels, __: int | None) -> Tensor:
    return Tensor("BYTES", [len(predictions)], [item.label for item in predictions])


def _score(predictions: Sequence[Prediction], ranked: RankedLabels, _: int | None) -> Tensor:
    return Tensor("FP32", [len(predictions)], [max(ranked.scores(item.logits)) for item in predictions])


def _probabilities(predictions: Sequence[Prediction], ranked: RankedLabels, best: int | None) -> Tensor:
    return _table([ranked.scores(item.logits) for item in predictions], ranked, best)


def _logits(predictions: Sequence[Prediction], ranked: RankedLabels, best: int | None) -> Tensor:
    return _table([item.logits for item in predictions], ranked, best)


def _labels(_: Sequence[Prediction], ranked: RankedLabels, __: int | None) -> Tensor:
    return Tensor("BYTES", [len(ranked.labels)], ranked.labels)


def _table(rows: Sequence[Sequence[float]], ranked: RankedLabels, best: int | None) -> Tensor:
    labels = ranked.labels
    if best is None:
        return Tensor("FP32", [len(rows), len(labels)], [*chain.from_iterable(rows)])
    best = min(best, len(labels))
    strings = []
    for row in rows:
        order = sorted(range(len(row)), key=[-value for value in row].__getitem__)
        strings += [f"{row[index]:f}:{index}:{labels[index]}" for index in order[:best]]
    return Tensor("BYTES", [len(rows), best], strings)


def _mlserver(predictions: Sequence[Prediction], ranked: RankedLabels, _: int | None) -> Tensor:
    items = [{"label": item.label, "score": max(ranked.scores(item.logits))} for item in predictions]
    strings = [msgspec.json.encode(item).decode() for item in items]
    return Tensor("BYTES", [len(items), 1], strings, {"content_type": "hg_jsonlist"})


def _index(predictions: Sequence[Prediction], ranked: RankedLabels, _: int | None) -> Tensor:
    return Tensor("INT64", [len(predictions)], [ranked.labels.index(item.label) for item in predictions])


def write_defaults(predictions: Sequence[Prediction], ranked: RankedLabels) -> str:
    """Return the default outputs as JSON, without binary data: the usual answer, without objects for it."""
    count, classes = len(predictions), len(ranked.labels)
    written = ranked.written
    rows = [ranked.columns(item.logits) for item in predictions]
    labels = ",".join([written[item.label] for item in predictions])
    return (
        f'[{{"name":"label","datatype":"BYTES","shape":[{count}],"data":[{labels}]}},'
        f'{{"name":"score","datatype":"FP32","shape":[{count}],"data":[{",".join([row[0] for row in rows])}]}},'
        f'{{"name":"probabilities","datatype":"FP32","shape":[{count},{classes}],'
        f'"data":[{",".join([row[1] for row in rows])}]}},'
        f'{{"name":"labels","datatype":"BYTES","shape":[{classes}],"data":[{",".join(written.values())}]}}]'
    )


OUTPUTS: Final[Mapping[str, _MakeTensor]] = {
    "label": _label,
    "score": _score,
    "probabilities": _probabilities,
    "labels": _labels,
    "logits": _logits,
    "output": _mlserver,
    "output-0": _index,
}
"""Makes each output, by its name: of the predictions, and of how many classes where strings are wanted."""

DEFAULT_OUTPUTS: Final = ("label", "score", "probabilities", "labels")
"""What an answer holds where nothing is asked for."""
