"""`POST {root}/tokenize`: says how the model reads texts."""

from functools import partial
from typing import Final

import msgspec
from pydantic import BaseModel, Field
from starlette.types import Receive

from mlapi.api.route import RouteParts
from mlapi.api.text_request import TAG, TextRequest, TextRoute
from mlapi.dialects.base import Operation
from mlapi.dialects.native_body import WRONG_SHAPE
from mlapi.dialects.schemas import ModelReference, PredictRequest, Problem
from mlapi.errors import (
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    NotCachedError,
    TextTooLongError,
)
from mlapi.predictions import TokenizedText
from mlapi.tokenizing.tokenizer_executor import parts as parts_of


class TokenizedItem(BaseModel):
    """One text as the model reads it."""

    ids: list[int] = Field(description="Token ids, special tokens included.")
    tokens: list[str] = Field(description="What each of them stands for.")
    offsets: list[tuple[int, int] | None] | None = Field(
        description="Where in the text each token stands, in characters (Unicode code points): first, and the one "
        "behind its last. Null for a token that does not, as special ones; null altogether where tokens are no pieces "
        "of the text, as the words and pairs of words of `/lab`."
    )
    truncated: bool = Field(description="Whether tokens were cut off, which are left out here.")


class TokenizeResponse(BaseModel):
    """One item for each text, in the order of the texts."""

    texts: list[TokenizedItem]
    model: ModelReference


_EXAMPLE: Final = {
    "texts": [
        {
            "ids": [101, 2986, 102],
            "tokens": ["[CLS]", "fine", "[SEP]"],
            "offsets": [None, [0, 4], None],
            "truncated": False,
        }
    ],
    "model": {"name": "distilbert-minilm-sst2", "digest": "0f343b0931126a20f133d67c2b018a3b"},
}

_OPERATION: Final = partial(
    Operation,
    summary="Say how the model reads texts",
    description="Tokens, their ids and places, and whether a text is cut. The model is not asked; a text costs a key "
    "what a known one costs.",
    tag=TAG,
    parameters=(),
    request_model=PredictRequest,
    request_examples={"one text": {"value": {"text": "fine"}}},
    response_model=TokenizeResponse,
    response_description="One item for each text, in their order.",
    response_example=_EXAMPLE,
    invalid=WRONG_SHAPE,
    problem=Problem,
    never=frozenset({DeadlineExceededError, EngineError, NotCachedError, TextTooLongError}),
    headers=frozenset({"Model-Digest"}),
)


def tokenize_route(parts: RouteParts) -> TextRoute:
    """Return the route of one model."""
    return TextRoute(_OPERATION(), parts, "predict", partial(_answer, parts))


async def _answer(parts: RouteParts, request: TextRequest, _: Receive) -> bytes:
    """Tokenise the texts.

    Raises:
        InvalidRequestError: there is a query string, or a text with nothing in it to read.
        RateLimitedError: the client has sent too much.
        QuotaExceededError: the key has spent too much.
    """
    if request.query:
        msg = "this route has no query parameters"
        raise InvalidRequestError(msg)
    model, texts = request.model, len(request.texts)
    model.predictor.query(request.texts)  # finds texts that could not be answered, either
    if parts.client_limit.active:
        parts.client_limit.check(request.client, texts)
    if parts.gate and request.grant:
        account = parts.gate.accounts.of(request.grant)
        await parts.gate.accounts.charge(account, texts)
        parts.gate.accounts.settle(account, texts, texts)
    content: list[bytes] = []
    for part in parts_of(request.texts):
        # Some at a time: what many tokens look like in JSON takes a while to write.
        content += map(_write, await model.tokenizing.inspect(request.texts[part]))
    told = msgspec.json.encode({"name": model.info.name, "digest": model.info.digest})
    return b'{"texts":[%b],"model":%b}' % (b",".join(content), told)


def _write(item: TokenizedText) -> bytes:
    return msgspec.json.encode(
        {"ids": item.ids, "tokens": item.tokens, "offsets": item.spans, "truncated": item.truncated}
    )
