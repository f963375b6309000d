"""`POST {root}/explain`: says which words of a text speak for its label, and which against it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive

from mlapi.api.asking import Asked, Wishes, ask
from mlapi.api.charging import charged
from mlapi.api.route import RouteParts, while_connected
from mlapi.api.served_model import LoadedModel
from mlapi.api.text_request import TextRequest, TextRoute
from mlapi.dialects.base import Operation
from mlapi.errors import InvalidRequestError, Violation
from mlapi.predictions import Prediction
from mlapi.tokenizing.pieces import pieces

MAX_SPANS: Final = 64
"""Each costs a text: a long text is explained by runs of words."""

_WISHES: Final = Wishes(read=True, store=False, compute=True, counted=False)
"""Texts with a word left out are nobody's: they would only push others out of the cache, and pass for drift."""


def explain_route(parts: RouteParts) -> TextRoute:
    """Return the route of one model."""
    return TextRoute(_document, parts, "explain", partial(_answer, parts))


def _document() -> Operation:
    from mlapi.api.text_documents import EXPLAIN  # noqa: PLC0415  its schemas cost milliseconds of a start

    return EXPLAIN


async def _answer(parts: RouteParts, request: TextRequest, receive: Receive) -> bytes:
    """Explain a text.

    Raises:
        InvalidRequestError: more than one text, or a label that the model does not have.
        MlapiError: as a prediction.
    """
    model = request.model
    if len(request.texts) > 1:
        fault = Violation("/text", "must be one text")
        msg = "one text is explained at a time"
        raise InvalidRequestError(msg, violations=[fault])
    wanted = _read_label(request.query, model.info.labels)
    (text,) = request.texts
    model.predictor.query(request.texts)  # what cannot be answered cannot be explained
    (tokenized,) = await model.tokenizing.inspect(request.texts)
    spans = pieces(text, [span for span in tokenized.spans or () if span], MAX_SPANS)
    exact = model.contributions(text) if model.contributions else None
    rests = [] if exact else [(text[:start] + text[end:]).strip() for start, end in spans]
    asked = [index for index, rest in enumerate(rests) if model.predictor.canonical_form(rest)]
    texts = [text, *(rests[index] for index in asked)]
    first, *others = (await _ask(parts, request, texts, receive)).answer.predictions
    label = model.info.labels.index(wanted or first.label)
    odds = _log_odds(model, first, label)
    effects: list[float | None] = [None] * len(spans)
    document: dict[str, object] = {
        "label": model.info.labels[label],
        "score": model.answering.ranked.scores(first.logits)[label],
        "log_odds": odds,
        "method": "exact" if exact else "occlusion",
    }
    if exact:
        document["base"], effects[:] = exact.of(label, spans)
    for index, other in zip(asked, others, strict=True):
        effects[index] = odds - _log_odds(model, other, label)
    document |= {
        "spans": [
            {"start": start, "end": end, "text": text[start:end], "effect": effect}
            for (start, end), effect in zip(spans, effects, strict=True)
        ],
        "truncated": first.truncated,
        "prediction": msgspec.Raw(model.answering.ranked.all(first)),
        "model": {"name": model.info.name, "digest": model.info.digest},
    }
    return msgspec.json.encode(document)


async def _ask(parts: RouteParts, request: TextRequest, texts: Sequence[str], receive: Receive) -> Asked:
    """Ask for texts, and have the caller pay for them."""
    if parts.client_limit.active:
        parts.client_limit.check(request.client, len(texts))
    wait = partial(while_connected, receive=receive)
    deadline = request.started + parts.config.deadline_s
    asking = ask(request.model.predictor, texts, _WISHES, deadline, wait=wait)
    if parts.gate and request.grant:
        asked = await charged(parts.gate.accounts, request.grant, len(texts), asking)
    else:
        asked = await asking
    parts.accounting.sources(asked.answer.counts)
    return asked


def _read_label(query: bytes, labels: Sequence[str]) -> str | None:
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if not given:
        return None
    if len(given) > 1 or given[0][0] != "label":
        msg = "this route has one query parameter, label"
        raise InvalidRequestError(msg)
    # `parse_qsl` takes what is escaped for UTF-8, whatever the rest of the query is.
    label = given[0][1]
    if label not in labels:
        msg = f"the query parameter label must be one of {', '.join(labels)}"
        raise InvalidRequestError(msg)
    return label


def _log_odds(model: LoadedModel, prediction: Prediction, label: int) -> float:
    """Return ln(p / (1 - p)) of a label, from logits: probabilities near 1 do not have the digits."""
    logits = prediction.logits
    if model.answering.ranked.activation == "sigmoid":
        return logits[label]
    others = [logit for index, logit in enumerate(logits) if index != label]
    if not others:
        return logits[label]
    top = max(others)
    return logits[label] - top - math.log(math.fsum(math.exp(other - top) for other in others))
