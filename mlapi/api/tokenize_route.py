"""`POST {root}/tokenize`: says how the model reads texts."""

from functools import partial

import msgspec
from starlette.types import Receive

from mlapi.api.route import RouteParts
from mlapi.api.text_request import TextRequest, TextRoute
from mlapi.dialects.base import Operation
from mlapi.errors import InvalidRequestError
from mlapi.predictions import TokenizedText
from mlapi.tokenizing.tokenizer_executor import parts as parts_of


def tokenize_route(parts: RouteParts) -> TextRoute:
    """Return the route of one model."""
    return TextRoute(_document, parts, "predict", partial(_answer, parts))


def _document() -> Operation:
    from mlapi.api.text_documents import TOKENIZE  # noqa: PLC0415  its schemas cost milliseconds of a start

    return TOKENIZE


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
