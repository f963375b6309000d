"""The wire format of the Open Inference Protocol (V2), as REST: one tensor of texts in, tensors of answers out.

The protocol leaves the names of tensors to the model. The input may have any name; which outputs there are, and in
whose form, says `mlapi.dialects.tensors`. Errors are `{"error": …}`.
Source: `specification/protocol/inference_rest.md` of https://github.com/kserve/open-inference-protocol, and of
https://github.com/triton-inference-server/server the extensions for binary data and classification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import prod
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from mlapi.dialects.base import (
    AnsweringModel,
    Call,
    Content,
    Document,
    ModelFacts,
    Operation,
    ReadBody,
    Refusal,
    TextLimits,
    WireFormat,
)
from mlapi.dialects.json_bodies import check_limits, decode, refuse_query, words
from mlapi.dialects.open_inference_schemas import (
    REQUEST_EXAMPLES,
    RESPONSE_EXAMPLE,
    InferenceError,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServedModels,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from mlapi.dialects.tensors import DEFAULT_OUTPUTS, OUTPUTS, Tensor, encode, read_strings, write_defaults
from mlapi.errors import InvalidRequestError, MlapiError, TextTooLongError, Violation
from mlapi.predictions import Answer

_TAG: Final = "Open Inference Protocol"

VERSION_DIGITS: Final = 12
"""A model's version is so many digits of its digest."""

_LENGTH: Final = b"inference-header-content-length"
_MAX_DIGITS: Final = 18
"""Of that header; Python itself refuses to read numbers of thousands of digits."""

_Strings = Literal["str"]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_output: bool = False
    content_type: _Strings | None = None


class _InputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    content_type: _Strings | None = None


class _OutputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data: bool | None = None
    classification: Annotated[int, msgspec.Meta(ge=0)] | None = None
    content_type: Literal["str", "np", "hg_jsonlist"] | None = None


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    datatype: Literal["BYTES"]
    parameters: _InputParameters | None = None
    data: list[str | list[str]] | None = None


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: _OutputParameters | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | None = None
    model_name: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


_SHAPE: Final = 'the body is not {"inputs": [{"name": "text", "shape": […], "datatype": "BYTES", "data": ["…"]}]}'
_BODY: Final = msgspec.json.Decoder(_Body)
_DATA: Final = "/inputs/0/data"


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """One request."""

    texts: Sequence[str]
    nested: bool
    asked: _Body

    @property
    def truncate(self) -> bool:
        """Long texts are cut to what the model reads."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body; in binary data, its number."""
        return f"{_DATA}/{index}/0" if self.nested else f"{_DATA}/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes | Content:
        """Return the tensors that were asked for, as JSON or, those that are wanted so, behind it in binary form."""
        asked = self.asked
        if not asked.outputs and not asked.parameters:
            return self._usual(answer, model)
        document: dict[str, Any] = {
            "model_name": model.served_as,
            "model_version": model.digest[:VERSION_DIGITS],
        }
        if asked.id is not None:
            document["id"] = asked.id
        tensors: list[dict[str, Any]] = []
        blocks: list[bytes] = []
        for name, binary, best in _wanted(asked):
            tensor = OUTPUTS[name](answer.predictions, model.ranked, best)
            tensors.append(_describe(name, tensor))
            if binary:
                block = encode(tensor)
                tensors[-1]["parameters"] = {**tensor.parameters, "binary_data_size": len(block)}
                blocks.append(block)
            else:
                tensors[-1]["data"] = tensor.data
        document["outputs"] = tensors
        head = msgspec.json.encode(document)
        if not blocks:
            return head
        return Content(b"".join([head, *blocks]), b"application/octet-stream", [(_LENGTH, b"%d" % len(head))])

    def _usual(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return the default outputs as JSON, in the same bytes."""
        head = msgspec.json.encode(model.served_as)
        own = b"" if self.asked.id is None else b'"id":%b,' % msgspec.json.encode(self.asked.id)
        version = model.digest[:VERSION_DIGITS].encode()
        outputs = write_defaults(answer.predictions, model.ranked).encode()
        return b'{"model_name":%b,"model_version":"%b",%b"outputs":%b}' % (head, version, own, outputs)


def _wanted(asked: _Body) -> list[tuple[str, bool, int | None]]:
    """Return the outputs that a request wants: the name, whether in binary form, and how many classes as strings."""
    binary = asked.parameters is not None and asked.parameters.binary_data_output
    if not asked.outputs:
        return [(name, binary, None) for name in DEFAULT_OUTPUTS]
    wanted = []
    for item in asked.outputs:
        own = item.parameters or _OutputParameters()
        wanted.append((item.name, binary if own.binary_data is None else own.binary_data, own.classification or None))
    return wanted


def _describe(name: str, tensor: Tensor) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": tensor.shape}
    if tensor.parameters:
        described["parameters"] = tensor.parameters
    return described


@dataclass(frozen=True, slots=True)
class InferenceDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify as the Open Inference Protocol does",
            description="For clients of KServe V2, Triton and MLServer. There is one input, whatever its name. Texts "
            "may follow the JSON in binary form, as the header `Inference-Header-Content-Length` says, and answers, "
            "too.",
            tag=_TAG,
            parameters=(
                {
                    "name": "Inference-Header-Content-Length",
                    "in": "header",
                    "description": "How many bytes of the body are JSON, if not all.",
                    "schema": {"type": "integer", "minimum": 1},
                },
            ),
            request_model=InferenceRequest,
            request_examples=REQUEST_EXAMPLES,
            response_model=InferenceResponse,
            response_description="The tensors that were asked for.",
            response_example=RESPONSE_EXAMPLE,
            invalid=_SHAPE,
            problem=InferenceError,
            never=frozenset({TextTooLongError}),
            media_types={"application/octet-stream": "JSON, and texts in binary form behind it"},
            answers={"application/octet-stream": "JSON, and tensors in binary form behind it"},
        )

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body of JSON.

        Raises:
            InvalidRequestError: there is a query string.
        """
        refuse_query(query)
        return _read

    def negotiate(self, query: bytes, headers: Mapping[bytes, bytes]) -> ReadBody | None:
        """Return what reads a body with binary data; None: there is none.

        Raises:
            InvalidRequestError: there is a query string, or the length of the JSON is not a number.
        """
        length = headers.get(_LENGTH)
        if length is None:
            return None
        self.reader(query)
        if not length.isdigit() or len(length) > _MAX_DIGITS:
            msg = "Inference-Header-Content-Length is not a number of bytes"
            raise InvalidRequestError(msg)
        return partial(_read_binary, int(length))

    def without_texts(self, call: Call) -> InferenceCall:
        """Return what of a call its answers depend on: which outputs are wanted, and its id."""
        read = cast("InferenceCall", call)
        return InferenceCall((), read.nested, msgspec.structs.replace(read.asked, inputs=[]))

    def named(self, call: Call) -> str | None:
        """Return the model that a body names beside its path, as KServe's own client does."""
        return cast("InferenceCall", call).asked.model_name

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error: what is wrong with a request is 400, whatever it is."""
    status = 400 if isinstance(error, InvalidRequestError | TextTooLongError) else int(error.status)
    return Refusal(status, "application/json", msgspec.json.encode({"error": words(error)}))


def _read(body: bytes, limits: TextLimits) -> InferenceCall:
    """Read a request whose texts are JSON.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, an unknown parameter or output, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked, tensor = _decode(body)
    if tensor.data is None or (tensor.parameters and tensor.parameters.binary_data_size is not None):
        raise InvalidRequestError(_SHAPE, violations=[Violation(_DATA, "is required")])
    nested = bool(tensor.data) and isinstance(tensor.data[0], list)
    if any(isinstance(item, list) != nested for item in tensor.data):
        raise InvalidRequestError(_SHAPE, violations=[Violation(_DATA, "must be strings, or lists of strings")])
    texts = [*chain.from_iterable(tensor.data)] if nested else [item for item in tensor.data if isinstance(item, str)]
    return _call(asked, texts, limits, nested=nested)


def _read_binary(length: int, body: bytes, limits: TextLimits) -> InferenceCall:
    """Read a request whose texts may follow its JSON, of so many bytes, in binary form.

    Raises:
        MalformedJsonError: the JSON is none.
        InvalidRequestError: another shape, an unknown parameter or output, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    if length > len(body):
        msg = "Inference-Header-Content-Length is more than the body has"
        raise InvalidRequestError(msg)
    asked, tensor = _decode(body[:length])
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if size is None and length == len(body):
        return _read(body, limits)
    if size is None or tensor.data is not None or size != len(body) - length:
        msg = "the binary data is not as long as its tensor says"
        fault = Violation("/inputs/0/parameters/binary_data_size", f"{len(body) - length} bytes follow the JSON")
        raise InvalidRequestError(msg, violations=[fault])
    return _call(asked, read_strings(body[length:], limits.texts), limits, nested=False)


def _decode(body: bytes) -> tuple[_Body, _Input]:
    asked = decode(_BODY, body, _SHAPE)
    if len(asked.inputs) != 1:
        raise InvalidRequestError(_SHAPE, violations=[Violation("/inputs", "must hold one tensor")])
    names = [item.name for item in asked.outputs or ()]
    for index, item in enumerate(asked.outputs or ()):
        classes = item.parameters and item.parameters.classification
        said = ""
        if item.name not in OUTPUTS:
            said = f"is no output of this model; there are {', '.join(OUTPUTS)}"
        elif names.index(item.name) != index:
            said = "is asked for more than once"
        elif classes and item.name not in {"probabilities", "logits"}:
            said = "has no classification: ask for that of probabilities or logits"
        if said:
            raise InvalidRequestError(_SHAPE, violations=[Violation(f"/outputs/{index}", said)])
    return asked, asked.inputs[0]


def _call(asked: _Body, texts: Sequence[str], limits: TextLimits, *, nested: bool) -> InferenceCall:
    if prod(asked.inputs[0].shape) != len(texts):
        fault = Violation("/inputs/0/shape", f"is not that of {len(texts)} texts")
        raise InvalidRequestError(_SHAPE, violations=[fault])
    check_limits(texts, limits, _DATA, bare=False, within="/0" if nested else "")
    return InferenceCall(texts, nested, asked)


def _metadata(models: Sequence[ModelFacts]) -> object:
    facts = models[0]
    classes = len(facts.info.labels)
    shapes = {
        "label": ("BYTES", [-1]),
        "score": ("FP32", [-1]),
        "probabilities": ("FP32", [-1, classes]),
        "logits": ("FP32", [-1, classes]),
        "labels": ("BYTES", [classes]),
        "output": ("BYTES", [-1, 1]),
        "output-0": ("INT64", [-1]),
    }
    return {
        "name": facts.name,
        "versions": [facts.info.digest[:VERSION_DIGITS]],
        "platform": f"mlapi_{facts.info.engine}",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in shapes.items()],
    }


def _documents() -> dict[str, Document]:
    described = partial(Document, tag=_TAG, problem=InferenceError)
    return {
        "v2": described(
            summary="What the server is",
            description="Its name, version and extensions of the protocol.",
            write=lambda models: {
                "name": "mlapi",
                "version": models[0].version,
                "extensions": ["binary_tensor_data", "classification"],
            },
            response_model=ServerMetadata,
        ),
        "v2/health/live": described(
            summary="Whether the server runs",
            description="Says so as long as it answers at all.",
            write=lambda _: {"live": True},
            response_model=ServerLive,
            ready=False,
        ),
        "v2/health/ready": described(
            summary="Whether predictions are served",
            description="503 if they are not.",
            write=lambda _: {"ready": True},
            response_model=ServerReady,
        ),
        "v2/models": described(
            summary="Which models are served",
            description="By the names that requests use.",
            write=lambda models: {"models": [facts.name for facts in models]},
            response_model=ServedModels,
        ),
        "v2/models/{model}": described(
            summary="What a model takes and gives",
            description="Below `/versions/` and the version, too, as all paths of a model.",
            write=_metadata,
            response_model=ModelMetadata,
        ),
        "v2/models/{model}/ready": described(
            summary="Whether one model is ready",
            description="503 if it is not.",
            write=lambda models: {"name": models[0].name, "ready": True},
            response_model=ModelReady,
        ),
    }


def wire_format() -> WireFormat:
    """Return its routes; its paths name the model, and perhaps its version."""
    return WireFormat(
        tag=_TAG,
        description="KServe's second prediction protocol, which Triton, MLServer and others serve.",
        refuse=refuse,
        predictions={"v2/models/{model}/infer": InferenceDialect()},
        documents=_documents(),
        owns=("v2",),
    )
