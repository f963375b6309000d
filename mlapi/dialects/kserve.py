"""The wire format of KServe's V1 protocol: `{"instances": […]}` in, `{"predictions": […]}` out.

A prediction is what KServe's Hugging Face runtime gives with `--return_probabilities`, except that its keys are labels
instead of their numbers. Errors are `{"error": …}`.
Source: `python/kserve/kserve/protocol/rest/v1_endpoints.py` of https://github.com/kserve/kserve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from mlapi.dialects.base import (
    AnsweringModel,
    Call,
    Document,
    ModelFacts,
    Operation,
    ReadBody,
    Refusal,
    TextLimits,
    WireFormat,
)
from mlapi.dialects.json_bodies import check_limits, decode, refuse_query, words
from mlapi.errors import InvalidRequestError, MlapiError, TextTooLongError, Violation
from mlapi.predictions import Answer

_TAG: Final = "KServe V1"

_Output = Literal["probabilities", "logits", "index"]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    output: _Output = "probabilities"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[str] | None = None
    inputs: list[str] | None = None
    parameters: _Parameters | None = None


_SHAPE: Final = 'the body is not {"instances": ["…"]}'
_BODY: Final = msgspec.json.Decoder(_Body)
_NO_PARAMETERS: Final = _Parameters()


class KServeParameters(BaseModel):
    """What a prediction is."""

    output: _Output = Field("probabilities", description="`index`: the number of the best label, as KServe's default.")


class KServeRequest(BaseModel):
    """Texts to classify."""

    instances: list[str] = Field(min_length=1, description="The texts; instead of it, `inputs` is taken, too.")
    parameters: KServeParameters | None = None


class KServeResponse(BaseModel):
    """One prediction for each text, in the order of the texts."""

    predictions: list[dict[str, float] | int] = Field(description="By label, or the number of the best label.")


class KServeError(BaseModel):
    """What went wrong."""

    error: str


class ModelList(BaseModel):
    """The models that are served, as KServe and as OpenAI's clients read it."""

    models: list[str]
    object: Literal["list"]
    data: list[dict[str, Any]]


class KServeModel(BaseModel):
    """A model, and whether it is ready."""

    name: str
    ready: bool


@dataclass(frozen=True, slots=True)
class KServeCall:
    """One request; `member` is the one that holds its texts."""

    texts: Sequence[str]
    member: str
    output: _Output

    @property
    def truncate(self) -> bool:
        """Long texts are cut, as its Hugging Face runtime does."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return f"/{self.member}/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return a prediction for each text, its labels in the model's order."""
        labels = model.ranked.labels
        predictions: list[object]
        if self.output == "index":
            predictions = [labels.index(item.label) for item in answer.predictions]
        elif self.output == "logits":
            predictions = [dict(zip(labels, item.logits, strict=True)) for item in answer.predictions]
        else:
            scores = model.ranked.scores
            predictions = [dict(zip(labels, scores(item.logits), strict=True)) for item in answer.predictions]
        return msgspec.json.encode({"predictions": predictions})


@dataclass(frozen=True, slots=True)
class KServeDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify as KServe's V1 protocol does",
            description="For clients of `:predict`. The keys of a prediction are labels, not their numbers.",
            tag=_TAG,
            parameters=(),
            request_model=KServeRequest,
            request_examples={
                "two texts": {"value": {"instances": ["fantastic", "terrible"]}},
                "numbers of labels": {"value": {"instances": ["fantastic"], "parameters": {"output": "index"}}},
            },
            response_model=KServeResponse,
            response_description="One prediction for each text, in their order.",
            response_example={"predictions": [{"NEGATIVE": 0.2872096002101898, "POSITIVE": 0.7127904295921326}]},
            invalid=_SHAPE,
            problem=KServeError,
            never=frozenset({TextTooLongError}),
        )

    def without_texts(self, call: Call) -> KServeCall:
        """Return what of a call its answers depend on."""
        return replace(cast("KServeCall", call), texts=())

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: there is a query string.
        """
        refuse_query(query)
        return _read

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error: what is wrong with a request is 400, whatever it is."""
    status = 400 if isinstance(error, InvalidRequestError | TextTooLongError) else int(error.status)
    return Refusal(status, "application/json", msgspec.json.encode({"error": words(error)}))


def _read(body: bytes, limits: TextLimits) -> KServeCall:
    """Read a request.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, an unknown parameter, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked = decode(_BODY, body, _SHAPE)
    if (asked.instances is None) == (asked.inputs is None):
        said = "is required" if asked.instances is None else "is given, and inputs, too"
        raise InvalidRequestError(_SHAPE, violations=[Violation("/instances", said)])
    member = "inputs" if asked.instances is None else "instances"
    texts = asked.instances or asked.inputs or []
    check_limits(texts, limits, f"/{member}", bare=False)
    return KServeCall(texts, member, (asked.parameters or _NO_PARAMETERS).output)


def _list(models: Sequence[ModelFacts]) -> object:
    return {
        "models": [facts.name for facts in models],
        "object": "list",
        "data": [
            {
                "id": facts.name,
                "object": "model",
                "created": 0,
                "owned_by": "mlapi",
                "root": facts.info.name,
                "max_model_len": facts.info.max_tokens,
            }
            for facts in models
        ],
    }


def wire_format() -> WireFormat:
    """Return its routes; its paths name the model."""
    return WireFormat(
        tag=_TAG,
        description="KServe's first prediction protocol.",
        refuse=refuse,
        predictions={"v1/models/{model}:predict": KServeDialect()},
        documents={
            "v1/models": Document(
                summary="Which models are served",
                description="For clients of KServe, and for those of OpenAI's interface, such as vLLM's.",
                tag=_TAG,
                problem=KServeError,
                write=_list,
                response_model=ModelList,
            ),
            "v1/models/{model}": Document(
                summary="Whether a model is ready",
                description="503 if it is not.",
                tag=_TAG,
                problem=KServeError,
                write=lambda models: {"name": models[0].name, "ready": True},
                response_model=KServeModel,
                response_example={"name": "project", "ready": True},
            ),
        },
        owns=("v1/models",),
    )
