"""The wire format of the Hugging Face Inference API's text classification, as `huggingface_hub`'s client speaks it.

The request is `{"inputs": …, "parameters": {"function_to_apply": …, "top_k": …}}`, the answer a list for each text,
nested even for one: the client takes the first. Errors are `{"error": …}`.
Sources: https://huggingface.co/docs/inference-providers/tasks/text-classification, and `_client.py` of huggingface_hub.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from mlapi.dialects.base import AnsweringModel, Call, Operation, ReadBody, Refusal, TextLimits, WireFormat
from mlapi.dialects.json_bodies import check_limits, decode, words
from mlapi.dialects.schemas import LabelScore
from mlapi.errors import InvalidRequestError, MlapiError, TextTooLongError
from mlapi.postprocessing import Activation, probabilities
from mlapi.predictions import Answer

_Function = Literal["softmax", "sigmoid", "none"]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    function_to_apply: _Function | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: _Parameters | None = None


_SHAPE: Final = 'the body is not {"inputs": "…", "parameters": {…}}'

_BODY: Final = msgspec.json.Decoder(_Body)
_NO_PARAMETERS: Final = _Parameters()


class HuggingFaceParameters(BaseModel):
    """How the scores are made and how many of them are wanted."""

    function_to_apply: _Function | None = Field(
        None, description="What makes scores of the model's outputs; by default the model's own activation."
    )
    top_k: int | None = Field(None, ge=1, description="How many labels, the best ones; by default all.")


_Text = Annotated[str, Field(min_length=1)]


class HuggingFaceRequest(BaseModel):
    """Texts to classify."""

    inputs: _Text | Annotated[list[_Text], Field(min_length=1)] = Field(
        description="The texts, in the order in which they are answered."
    )
    parameters: HuggingFaceParameters | None = None


class HuggingFaceError(BaseModel):
    """What went wrong."""

    error: str
    error_type: str = Field(description="Stable, for programs; the `code` of this service's own problem documents.")
    request_id: str


@dataclass(frozen=True, slots=True)
class HuggingFaceCall:
    """One request; `bare` if its input was a single string instead of a list."""

    texts: Sequence[str]
    bare: bool
    function: _Function | None
    top_k: int | None

    @property
    def truncate(self) -> bool:
        """Long texts are cut, as the pipeline behind that interface does."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return "/inputs" if self.bare else f"/inputs/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return a list of labels and scores for each text."""
        if self.function is None and self.top_k is None:
            return b"[" + model.ranked.join(answer.predictions) + b"]"
        activation = _ACTIVATIONS[self.function] if self.function else model.ranked.scores
        lists = [model.ranked.best(item, self.top_k, activation) for item in answer.predictions]
        return b"[" + b",".join(lists) + b"]"


@dataclass(frozen=True, slots=True)
class HuggingFaceDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify texts as the Hugging Face Inference API does",
            description="For `huggingface_hub.InferenceClient(model=…/hf).text_classification(…)`.",
            tag="Hugging Face",
            parameters=(),
            request_model=HuggingFaceRequest,
            request_examples={
                "one text": {"value": {"inputs": "It wasn't bad at all."}},
                "the best label": {"value": {"inputs": ["fantastic", "terrible"], "parameters": {"top_k": 1}}},
            },
            response_model=list[list[LabelScore]],
            response_description="For each text its labels, by falling score.",
            response_example=[
                [{"label": "POSITIVE", "score": 0.7127904295921326}, {"label": "NEGATIVE", "score": 0.2872096002101898}]
            ],
            invalid=_SHAPE,
            problem=HuggingFaceError,
            never=frozenset({TextTooLongError}),
        )

    def without_texts(self, call: Call) -> HuggingFaceCall:
        """Return what of a call its answers depend on."""
        return replace(cast("HuggingFaceCall", call), texts=())

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: there is a query string: this interface's parameters are in the body.
        """
        if query:
            msg = "this route takes its parameters in the body, under `parameters`"
            raise InvalidRequestError(msg)
        return _read

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as that interface does, with the code by which programs tell errors apart."""
        return refuse(error, request_id)


def refuse(error: MlapiError, request_id: str) -> Refusal:
    """Write an error as that interface does, with the code by which programs tell errors apart."""
    document = {"error": words(error), "error_type": error.code, "request_id": request_id}
    return Refusal(int(error.status), "application/json", msgspec.json.encode(document))


def _applied(activation: Activation) -> Callable[[Sequence[float]], Sequence[float]]:
    return lambda logits: probabilities(logits, activation)


_ACTIVATIONS: Final[dict[_Function, Callable[[Sequence[float]], Sequence[float]]]] = {
    "softmax": _applied("softmax"),
    "sigmoid": _applied("sigmoid"),
    "none": lambda logits: logits,
}


def _read(body: bytes, limits: TextLimits) -> HuggingFaceCall:
    """Read a request.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, an unknown or impossible parameter, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked = decode(_BODY, body, _SHAPE)
    bare = isinstance(asked.inputs, str)
    texts = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
    check_limits(texts, limits, "/inputs", bare=bare)
    parameters = asked.parameters or _NO_PARAMETERS
    return HuggingFaceCall(texts, bare, parameters.function_to_apply, parameters.top_k)


def wire_format() -> WireFormat:
    """Return its route: below the model's root, because it does not name a model."""
    return WireFormat(
        tag="Hugging Face",
        description="Hugging Face's Inference API, for text classification.",
        refuse=refuse,
        predictions={"hf": HuggingFaceDialect()},
        at_root=False,
        owns=("hf",),
    )
