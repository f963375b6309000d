"""The service's own wire format: `{"text": …}` in, `{"predictions": …}` out, problem documents for every error."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import msgspec

from mlapi.cache.keys import text_id
from mlapi.dialects import problems
from mlapi.dialects.base import AnsweringModel, Call, Combine, Operation, ReadBody, Refusal, TextLimits
from mlapi.dialects.native_body import WRONG_SHAPE, decode_texts
from mlapi.dialects.native_options import DEFAULTS, PARAMETERS, Options, read_options
from mlapi.dialects.ranked import RankedLabels
from mlapi.dialects.schemas import PredictRequest, PredictResponse, Problem
from mlapi.errors import MlapiError
from mlapi.predictions import Answer, Prediction

FRAME: Final = b'{"predictions":[%b]}'
FRAME_BYTES: Final = len(FRAME % b"")
"""Around the joined predictions of an answer without details."""

_REQUEST_EXAMPLES: Final = {
    "two texts": {"value": {"text": ["This movie was fantastic!", "Terrible waste of time"]}},
    "one text": {"value": {"text": "It wasn't bad at all."}},
}

_RESPONSE_EXAMPLE: Final = {
    "predictions": [
        [{"label": "POSITIVE", "score": 0.7127904295921326}, {"label": "NEGATIVE", "score": 0.2872096002101898}]
    ]
}


_DESCRIPTION: Final = "Known texts are answered from the cache, the others by the model, each of them once."

_LINES: Final = (
    "\n\nWith `application/x-ndjson` each line is a body of its own, and answered by a line, in the same order, while "
    "the request still comes: its number of lines has no bound. In the place of a line that is not answered stands "
    '`{"error": …}` with a problem document. A caller has to read while it sends. Where the stream has to end before '
    "its body does, the last line says why, in the place of the first one that was not answered."
)
_NDJSON: Final = "application/x-ndjson"
_REQUEST_LINES: Final = '{"text": "This movie was fantastic!"}\n{"text": 7}\n'
_ANSWER_LINES: Final = (
    '{"predictions":[[{"label":"POSITIVE","score":0.7127904295921326},{"label":"NEGATIVE","score":0.2872096002101898}]]}'
    '\n{"error":{"type":"urn:mlapi:problem:invalid_request","title":"The request is not valid","status":422,"detail":'
    '"the body is not {\\"text\\": [\\"…\\"]}","code":"invalid_request","request_id":"3f9c0a7be1d2-1c",'
    '"retryable":false,"errors":[{"pointer":"/text","detail":"must be a string or a list of strings, '
    'not a number"}]}}\n'
)


@dataclass(frozen=True, slots=True)
class NativeCall:
    """One request; `bare` if its text was a single string instead of a list."""

    texts: Sequence[str]
    bare: bool
    options: Options

    @property
    def truncate(self) -> bool:
        """Whether long texts are cut."""
        return self.options.truncate and self.options.long != "refuse"

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return "/text" if self.bare else f"/text/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return the answer, with details where they were asked for."""
        lists = self._lists(answer.predictions, model.ranked)
        if not self.options.detail:
            return FRAME % lists
        details = [
            {"cache": source.value, "tokens": prediction.tokens, "truncated": prediction.truncated}
            | _identity(digest, prediction, model)
            for prediction, source, digest in zip(answer.predictions, answer.sources, answer.digests, strict=True)
        ]
        for detail, windows in zip(details, answer.windows, strict=False):
            detail["windows"] = windows
        return b'{"predictions":[%b],"details":%b,"model":%b}' % (
            lists,
            msgspec.json.encode(details),
            msgspec.json.encode({"name": model.name, "digest": model.digest}),
        )

    def _lists(self, predictions: Sequence[Prediction], ranked: RankedLabels) -> bytes:
        """Return the labels and scores of each text, as many as the options ask for."""
        options = self.options
        if options.plain:
            return ranked.join(predictions)
        activation = _as_they_are if options.logits else ranked.scores
        best = partial(ranked.best, count=options.top_k, activation=activation, least=options.threshold)
        return b",".join(map(best, predictions))


def _as_they_are(logits: Sequence[float]) -> Sequence[float]:
    return logits


def _identity(digest: bytes, prediction: Prediction, model: AnsweringModel) -> dict[str, object]:
    """Return the members of a text's details that feedback refers to."""
    if model.identify is None:
        return {"id": text_id(digest, model.digest)}
    answer_id, asked = model.identify(digest, prediction)
    return {"id": answer_id, "ask": True} if asked else {"id": answer_id}


@dataclass(frozen=True, slots=True)
class NativeDialect:
    """Reads and writes it; `summary` is the route's line in OpenAPI, `lines`: it also takes lines."""

    summary: str
    lines: bool = False

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary=self.summary,
            description=_DESCRIPTION + (_LINES if self.lines else ""),
            tag="predictions",
            parameters=PARAMETERS,
            request_model=PredictRequest,
            request_examples=_REQUEST_EXAMPLES,
            response_model=PredictResponse,
            response_description="One prediction for each text, in their order.",
            response_example=_RESPONSE_EXAMPLE,
            invalid=WRONG_SHAPE,
            problem=Problem,
            media_types={_NDJSON: _REQUEST_LINES} if self.lines else {},
            answers={_NDJSON: _ANSWER_LINES} if self.lines else {},
        )

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: an option that does not exist, or has no such value.
        """
        return partial(_read, read_options(query)) if query else _READ

    def combine(self, call: Call) -> Combine | None:
        """Return how the windows of long texts are combined, if a request wants that."""
        options = cast("NativeCall", call).options
        return options.combine if options.long == "windows" else None

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write a problem document."""
        return problems.problem(error, request_id)


def _read(options: Options, body: bytes, limits: TextLimits) -> NativeCall:
    texts = decode_texts(body, limits)
    return NativeCall(texts.items, texts.bare, options)


_READ: Final = partial(_read, DEFAULTS)
