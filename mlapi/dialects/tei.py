"""The wire format of text-embeddings-inference's `/predict`: its four forms of `inputs`, its errors, `/info`.

`"a"` and `["a"]` are one text and answered by one list; `[["a"], ["b"]]` is a batch, answered by a list of lists;
`["a", "b"]` is one *pair* of texts, which is refused: these models read single texts.
Source: `router/src/http/types.rs` and `server.rs` of https://github.com/huggingface/text-embeddings-inference, 1.9.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from mlapi import errors
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
from mlapi.dialects.schemas import LabelScore
from mlapi.errors import EMPTY, InvalidRequestError, MlapiError, Violation
from mlapi.predictions import Answer

_TAG: Final = "text-embeddings-inference"

_Direction = Literal["Left", "Right", "left", "right"]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str | list[str | list[str]]
    truncate: bool | None = None
    truncation_direction: _Direction = "Right"
    raw_scores: bool = False


_SHAPE: Final = 'the body is not {"inputs": "…"} or {"inputs": [["…"], ["…"]]}'
_BODY: Final = msgspec.json.Decoder(_Body)

_PAIR: Final = "a list of two strings is a pair of texts in this protocol; send [[…], […]] for two texts"
_PAIRS: Final = "pairs of texts are not served: this model reads single ones"


class TeiRequest(BaseModel):
    """Texts to classify."""

    inputs: str | list[str] | list[list[str]] = Field(
        description='One text: `"…"` or `["…"]`. Several: `[["…"], ["…"]]`. A list of two strings is a pair of texts '
        "in this protocol, and refused.",
    )
    truncate: bool | None = Field(None, description="`false` refuses texts that are longer than the model reads.")
    truncation_direction: _Direction = Field("Right", description="Texts are cut at their end: `Left` is refused.")
    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")


class TeiScore(LabelScore):
    """One label and its probability, or its logit with `raw_scores`."""

    score: float = Field(description="Probability, or logit; a float32 value.", examples=[0.7127904295921326])


class TeiError(BaseModel):
    """What went wrong."""

    error: str
    error_type: Literal["Validation", "Empty", "Tokenizer", "Backend", "Overloaded", "Unhealthy"]


class TeiClassifier(BaseModel):
    """The labels and their places."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TeiModelType(BaseModel):
    """What kind of model it is."""

    classifier: TeiClassifier


class TeiInfo(BaseModel):
    """Which model is served, within which limits."""

    model_id: str
    model_sha: str | None = Field(description="The model digest.")
    model_dtype: str
    served_model_name: str
    model_type: TeiModelType
    max_concurrent_requests: int
    max_input_length: int = Field(description="Tokens; where the model has no bound, those that may wait for it.")
    max_batch_tokens: int = Field(description="Tokens that may wait for the model.")
    max_batch_requests: int | None = None
    max_client_batch_size: int = Field(description="Texts in one request.")
    auto_truncate: bool
    tokenization_workers: int
    version: str = Field(description="Of this service.")
    sha: str | None = None
    docker_label: str | None = None


@dataclass(frozen=True, slots=True)
class TeiCall:
    """One request.

    Attributes:
        texts: its texts.
        form: `"…"`, `["…"]` or `[["…"], …]`.
        truncate: whether long texts are cut.
        raw: whether logits are wanted.
    """

    texts: Sequence[str]
    form: Literal["string", "list", "batch"]
    truncate: bool
    raw: bool

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return {"string": "/inputs", "list": "/inputs/0", "batch": f"/inputs/{index}/0"}[self.form]

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return a list of labels and scores, or for a batch a list of such lists."""
        ranked = model.ranked
        if not self.raw:
            joined = ranked.join(answer.predictions)
        else:
            joined = b",".join(ranked.best(item, None, lambda logits: logits) for item in answer.predictions)
        return b"[" + joined + b"]" if self.form == "batch" else joined


@dataclass(frozen=True, slots=True)
class TeiDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify as text-embeddings-inference does",
            description="For clients of its `POST /predict`. Long texts are cut, as there, unless `truncate` is "
            "`false`. Scores are the model's own: one whose labels do not exclude each other has a sigmoid for each, "
            "where text-embeddings-inference takes the softmax.",
            tag=_TAG,
            parameters=(),
            request_model=TeiRequest,
            request_examples={
                "one text": {"value": {"inputs": "It wasn't bad at all."}},
                "two texts": {"value": {"inputs": [["fantastic"], ["terrible"]]}},
            },
            response_model=list[TeiScore] | list[list[TeiScore]],
            response_description="Labels by falling score; of a batch, a list of them for each text.",
            response_example=[
                {"label": "POSITIVE", "score": 0.7127904295921326},
                {"label": "NEGATIVE", "score": 0.2872096002101898},
            ],
            invalid=_SHAPE,
            problem=TeiError,
        )

    def without_texts(self, call: Call) -> TeiCall:
        """Return what of a call its answers depend on."""
        return replace(cast("TeiCall", call), texts=())

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: there is a query string: this interface's parameters are in the body.
        """
        refuse_query(query)
        return _read

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)


def _read(body: bytes, limits: TextLimits) -> TeiCall:
    """Read a request.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, a pair, an option that is not taken, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked = decode(_BODY, body, _SHAPE)
    if asked.truncation_direction.lower() == "left":
        fault = Violation("/truncation_direction", "must be Right: texts are cut at their end")
        raise InvalidRequestError(_SHAPE, violations=[fault])
    truncate = asked.truncate is not False
    inputs = asked.inputs
    if isinstance(inputs, str):
        check_limits([inputs], limits, "/inputs", bare=True)
        return TeiCall([inputs], "string", truncate, asked.raw_scores)
    batch = [item for item in inputs if isinstance(item, list)]
    if not batch:
        texts = [item for item in inputs if isinstance(item, str)]
        if len(texts) > 1:
            raise InvalidRequestError(_PAIR, violations=[Violation("/inputs", "holds more than one string")])
        check_limits(texts, limits, "/inputs", bare=False)
        return TeiCall(texts, "list", truncate, asked.raw_scores)
    if len(batch) < len(inputs) or not all(map(len, batch)):
        raise InvalidRequestError(_SHAPE, violations=[Violation("/inputs", "must hold lists of one string each")])
    if any(len(item) > 1 for item in batch):
        pairs = [
            Violation(f"/inputs/{index}", "holds more than one string") for index, item in enumerate(batch) if item[1:]
        ]
        raise InvalidRequestError(_PAIRS, violations=pairs[:100])
    texts = [item[0] for item in batch]
    check_limits(texts, limits, "/inputs", bare=False, within="/0")
    return TeiCall(texts, "batch", truncate, asked.raw_scores)


_KINDS: Final[Mapping[type[MlapiError], tuple[int, str]]] = {
    errors.BatchTooLargeError: (422, "Validation"),
    errors.RateLimitedError: (429, "Overloaded"),
    errors.OverloadedError: (429, "Overloaded"),
    errors.DrainingError: (503, "Unhealthy"),
    errors.DeadlineExceededError: (504, "Backend"),
    errors.NotCachedError: (504, "Backend"),
    errors.EngineError: (424, "Backend"),
    errors.InternalError: (424, "Backend"),
}
"""Status and type of errors where they are not the service's own status, and `Validation`."""


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error: its type and its words."""
    status, kind = _KINDS.get(type(error), (int(error.status), "Validation"))
    if error.violations and all(item.detail == EMPTY for item in error.violations):
        status, kind = 400, "Empty"
    return Refusal(status, "application/json", msgspec.json.encode({"error": words(error), "error_type": kind}))


def _info(models: Sequence[ModelFacts]) -> object:
    facts = models[0]
    labels = facts.info.labels
    return {
        "model_id": facts.info.name,
        "model_sha": facts.info.digest,
        "model_dtype": facts.info.precision,
        "served_model_name": facts.name,
        "model_type": {
            "classifier": {
                "id2label": {str(index): label for index, label in enumerate(labels)},
                "label2id": {label: index for index, label in enumerate(labels)},
            }
        },
        "max_concurrent_requests": facts.max_connections,
        "max_input_length": facts.info.max_tokens or facts.max_waiting_tokens,
        "max_batch_tokens": facts.max_waiting_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": facts.limits.texts,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": facts.version,
        "sha": None,
        "docker_label": None,
    }


def wire_format() -> WireFormat:
    """Return its routes: all below the model's root, because they do not name a model."""
    return WireFormat(
        tag=_TAG,
        description="Hugging Face's text-embeddings-inference, for sequence classification.",
        refuse=refuse,
        predictions={"tei/predict": TeiDialect()},
        documents={
            "tei/info": Document(
                summary="Which model is served, within which limits",
                description="As text-embeddings-inference tells it.",
                tag=_TAG,
                problem=TeiError,
                write=_info,
                response_model=TeiInfo,
                response_example=None,
            ),
            "tei/health": Document(
                summary="Whether predictions are served",
                description="200 without a body if they are.",
                tag=_TAG,
                problem=TeiError,
                write=lambda _: None,
            ),
        },
        at_root=False,
        owns=("tei",),
    )
