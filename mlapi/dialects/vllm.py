"""The wire format of vLLM's `/classify`, which SGLang and NVIDIA Dynamo serve as `/v1/classify`.

The answer has a label and the probabilities in the order of the labels; errors are those of OpenAI's interface.
Source: `entrypoints/pooling/classify/protocol.py` of https://github.com/vllm-project/vllm, 0.33.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from pydantic import BaseModel, Field

from mlapi import errors
from mlapi.dialects.base import AnsweringModel, Call, Operation, ReadBody, Refusal, TextLimits, WireFormat
from mlapi.dialects.json_bodies import check_limits, decode, refuse_query, words
from mlapi.dialects.token_bounds import refuse_longer
from mlapi.errors import InvalidRequestError, MlapiError, TextTooLongError, Violation
from mlapi.predictions import Answer

_TAG: Final = "vLLM"
_MAX_ID_CHARS: Final = 128


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    input: str | list[str | int | list[int]]
    model: str | None = None
    truncate_prompt_tokens: int | None = None
    truncation_side: Literal["right"] | None = None
    use_activation: bool | None = None
    activation: bool | None = None
    add_special_tokens: Literal[True] = True
    priority: Literal[0] = 0
    request_id: Annotated[str, msgspec.Meta(max_length=_MAX_ID_CHARS)] | None = None
    user: str | None = None


_SHAPE: Final = 'the body is not {"input": "…"} or {"input": ["…"]}'
_BODY: Final = msgspec.json.Decoder(_Body)
_WHOLE: Final = -1
"""Of `truncate_prompt_tokens`: as many as the model reads."""


class VllmRequest(BaseModel):
    """Texts to classify."""

    input: str | list[str] = Field(description="The texts; token ids are refused.")
    model: str | None = Field(None, description="A model that is served here; by default the one of this path.")
    truncate_prompt_tokens: int | None = Field(
        None,
        ge=-1,
        description="Texts are cut to what the model reads, which is -1. To fewer tokens they are not cut: a text that "
        "has more is refused.",
    )
    truncation_side: Literal["right"] | None = None
    use_activation: bool | None = Field(None, description="`false`: logits instead of probabilities.")
    activation: bool | None = Field(None, description="Older name of `use_activation`.")
    add_special_tokens: Literal[True] = True
    priority: Literal[0] = 0
    request_id: str | None = Field(None, max_length=_MAX_ID_CHARS, description="Part of the answer's `id`.")
    user: str | None = Field(None, description="Ignored.")


class VllmItem(BaseModel):
    """What the model says of one text."""

    index: int
    label: str
    probs: list[float] = Field(description="In the order of the model's labels.")
    num_classes: int


class VllmUsage(BaseModel):
    """Tokens that the model read, special tokens included."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None


class VllmResponse(BaseModel):
    """One item for each text, in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[VllmItem]
    usage: VllmUsage


class VllmFault(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: int


class VllmError(BaseModel):
    """A refusal."""

    error: VllmFault


@dataclass(frozen=True, slots=True)
class VllmCall:
    """One request.

    Attributes:
        texts: its texts.
        bare: whether its input was a single string instead of a list.
        asked: all of it.
        created: seconds since 1970.
        new_id: makes an id.
    """

    texts: Sequence[str]
    bare: bool
    asked: _Body
    created: int
    new_id: Callable[[], str]

    @property
    def truncate(self) -> bool:
        """Long texts are cut to what the model reads."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return "/input" if self.bare else f"/input/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return an item for each text.

        Raises:
            InvalidRequestError: a text has more tokens than the request wanted to be read.
        """
        bound = self.asked.truncate_prompt_tokens
        if bound is not None and bound != _WHOLE:
            refuse_longer(answer.predictions, bound, self.pointer)
        scores: Callable[[Sequence[float]], Sequence[float]] = model.ranked.scores
        if self.asked.use_activation is False or self.asked.activation is False:
            scores = tuple
        tokens = sum(item.tokens for item in answer.predictions)
        classes = len(model.ranked.labels)
        return msgspec.json.encode(
            {
                "id": f"classify-{self.asked.request_id or self.new_id()}",
                "object": "list",
                "created": self.created,
                "model": self.asked.model or model.served_as,
                "data": [
                    {"index": index, "label": item.label, "probs": scores(item.logits), "num_classes": classes}
                    for index, item in enumerate(answer.predictions)
                ],
                "usage": {
                    "prompt_tokens": tokens,
                    "total_tokens": tokens,
                    "completion_tokens": 0,
                    "prompt_tokens_details": None,
                },
            }
        )


@dataclass(frozen=True, slots=True)
class VllmDialect:
    """Reads and writes it; `clock` tells seconds since 1970, `new_id` makes an id."""

    clock: Callable[[], float]
    new_id: Callable[[], str]

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify as vLLM does",
            description="For clients of vLLM's `POST /classify`, and of SGLang's and Dynamo's `POST /v1/classify`.",
            tag=_TAG,
            parameters=(),
            request_model=VllmRequest,
            request_examples={
                "one text": {"value": {"input": "It wasn't bad at all."}},
                "two texts": {"value": {"input": ["fantastic", "terrible"]}},
            },
            response_model=VllmResponse,
            response_description="One item for each text, in their order.",
            response_example={
                "id": "classify-5f0c2a9be1d24c5c9a8f5a3f5b0e7d11",
                "object": "list",
                "created": 1764388800,
                "model": "project",
                "data": [
                    {
                        "index": 0,
                        "label": "POSITIVE",
                        "probs": [0.2872096002101898, 0.7127904295921326],
                        "num_classes": 2,
                    }
                ],
                "usage": {
                    "prompt_tokens": 9,
                    "total_tokens": 9,
                    "completion_tokens": 0,
                    "prompt_tokens_details": None,
                },
            },
            invalid=_SHAPE,
            problem=VllmError,
            never=frozenset({TextTooLongError}),
        )

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: there is a query string.
        """
        refuse_query(query)
        return self._read

    def named(self, call: Call) -> str | None:
        """Return the model that a request names."""
        return cast("VllmCall", call).asked.model

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)

    def _read(self, body: bytes, limits: TextLimits) -> VllmCall:
        """Read a request.

        Raises:
            MalformedJsonError: not JSON in UTF-8.
            InvalidRequestError: another shape, token ids, an option that is not taken, no text, a too long one.
            BatchTooLargeError: more texts than one request may hold.
        """
        asked = decode(_BODY, body, _SHAPE)
        bare = isinstance(asked.input, str)
        items: list[Any] = [asked.input] if isinstance(asked.input, str) else list(asked.input)
        if any(not isinstance(item, str) for item in items):
            raise InvalidRequestError(_SHAPE, violations=[Violation("/input", "holds token ids: send texts")])
        check_limits(items, limits, "/input", bare=bare)
        return VllmCall(items, bare, asked, int(self.clock()), self.new_id)


_TYPES: Final = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    504: "TimeoutError",
}


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error as OpenAI's clients read it: what is wrong with a request is 400, whatever it is."""
    status = 400 if isinstance(error, InvalidRequestError | TextTooLongError) else int(error.status)
    kind = _TYPES.get(status) or HTTPStatus(status).phrase.title().replace(" ", "") + "Error"
    param = error.violations[0].pointer.split("/")[1] if error.violations and error.violations[0].pointer else None
    if isinstance(error, errors.NotFoundError) and "model" in error.detail:
        param = "model"
    document = {"error": {"message": words(error), "type": kind, "param": param, "code": status}}
    return Refusal(status, "application/json", msgspec.json.encode(document))


def wire_format(*, clock: Callable[[], float], new_id: Callable[[], str]) -> WireFormat:
    """Return its routes; its bodies may name the model."""
    dialect = VllmDialect(clock, new_id)
    return WireFormat(
        tag=_TAG,
        description="vLLM's interface for classifiers, which SGLang and NVIDIA Dynamo serve, too.",
        refuse=refuse,
        predictions={"classify": dialect, "v1/classify": dialect},
        owns=("classify", "v1/classify"),
    )
