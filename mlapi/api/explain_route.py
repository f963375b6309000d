"""`POST {root}/explain`: says which words of a text speak for its label, and which against it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel, Field
from starlette.types import Receive

from mlapi.api.asking import Asked, Wishes, ask
from mlapi.api.charging import charged
from mlapi.api.route import RouteParts, while_connected
from mlapi.api.served_model import LoadedModel
from mlapi.api.text_request import TAG, TextRequest, TextRoute
from mlapi.dialects.base import Operation
from mlapi.dialects.native_body import WRONG_SHAPE
from mlapi.dialects.schemas import LabelScore, ModelReference, PredictRequest, Problem
from mlapi.errors import InvalidRequestError, NotCachedError, TextTooLongError, Violation
from mlapi.predictions import Prediction
from mlapi.tokenizing.pieces import pieces

MAX_SPANS: Final = 64
"""Each costs a text: a long text is explained by runs of words."""

_WISHES: Final = Wishes(read=True, store=False, compute=True)
"""Texts with a word left out are nobody's: they would only push others out of the cache."""


class ExplainedSpan(BaseModel):
    """One word, or run of words."""

    start: int = Field(ge=0, description="Where it begins in the text, in characters (Unicode code points).")
    end: int = Field(ge=0, description="Behind its last character.")
    text: str
    effect: float | None = Field(
        description="By how much it raises the log-odds of the label; negative: it lowers them. Null if nothing is "
        "left of the text without it."
    )


class ExplainResponse(BaseModel):
    """What speaks for a label, and what against it."""

    label: str = Field(description="The best one, or the one that was asked for.")
    score: float = Field(ge=0, le=1, description="Its probability.")
    log_odds: float = Field(description="ln(p / (1 - p)) of the label.")
    method: Literal["occlusion", "exact"] = Field(
        description="`occlusion`: an effect is the difference that leaving the span out makes. `exact`: the model adds "
        "up its terms, and `base` and the effects add up to `log_odds`."
    )
    base: float | None = Field(None, description="What the label has before any word; only with `exact`.")
    spans: list[ExplainedSpan] = Field(max_length=MAX_SPANS, description="In their order in the text.")
    truncated: bool = Field(description="Whether the model reads only a part of the text.")
    prediction: list[LabelScore] = Field(description="All labels, as `predict` lists them.")
    model: ModelReference


_EXAMPLE: Final = {
    "label": "POSITIVE",
    "score": 0.9762911796569824,
    "log_odds": 3.7180,
    "method": "occlusion",
    "spans": [
        {"start": 0, "end": 4, "text": "This", "effect": 0.0311},
        {"start": 5, "end": 10, "text": "movie", "effect": -0.0170},
        {"start": 11, "end": 14, "text": "was", "effect": 0.1024},
        {"start": 15, "end": 25, "text": "fantastic!", "effect": 3.2509},
    ],
    "truncated": False,
    "prediction": [
        {"label": "POSITIVE", "score": 0.9762911796569824},
        {"label": "NEGATIVE", "score": 0.023708844557404518},
    ],
    "model": {"name": "distilbert-minilm-sst2", "digest": "0f343b0931126a20f133d67c2b018a3b"},
}

_OPERATION: Final = partial(
    Operation,
    summary="Say which words speak for a label",
    description=f"Of one text: the effect of each word on the label, of a text with more than {MAX_SPANS} words of "
    "runs of words. Each word is left out once and the rest is asked for; a key pays for all of these texts, needs the "
    "scope `explain`, and none of them is kept. A linear model, as `/lab`, is asked once and says exactly what it "
    "adds up.",
    tag=TAG,
    parameters=(
        {
            "name": "label",
            "in": "query",
            "description": "The label to explain; by default the best one.",
            "schema": {"type": "string"},
        },
    ),
    request_model=PredictRequest,
    request_examples={"one text": {"value": {"text": "This movie was fantastic!"}}},
    response_model=ExplainResponse,
    response_description="The effect of each word.",
    response_example=_EXAMPLE,
    invalid=WRONG_SHAPE,
    problem=Problem,
    never=frozenset({NotCachedError, TextTooLongError}),
    headers=frozenset({"Model-Digest"}),
)


def explain_route(parts: RouteParts) -> TextRoute:
    """Return the route of one model."""
    return TextRoute(_OPERATION(), parts, "explain", partial(_answer, parts))


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
