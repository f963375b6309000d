"""Documents the routes that take texts and answer with something else than predictions."""

from typing import Final, Literal

from pydantic import BaseModel, Field

from mlapi.api.explain_route import MAX_SPANS
from mlapi.api.text_request import TAG
from mlapi.dialects.base import Operation
from mlapi.dialects.native_body import WRONG_SHAPE
from mlapi.dialects.schemas import LabelScore, ModelReference, PredictRequest, Problem
from mlapi.errors import DeadlineExceededError, EngineError, NotCachedError, TextTooLongError


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


_TOKENIZED: Final = {
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

TOKENIZE: Final = Operation(
    summary="Say how the model reads texts",
    description="Tokens, their ids and places, and whether a text is cut. The model is not asked; a text costs a key "
    "what a known one costs.",
    tag=TAG,
    parameters=(),
    request_model=PredictRequest,
    request_examples={"one text": {"value": {"text": "fine"}}},
    response_model=TokenizeResponse,
    response_description="One item for each text, in their order.",
    response_example=_TOKENIZED,
    invalid=WRONG_SHAPE,
    problem=Problem,
    never=frozenset({DeadlineExceededError, EngineError, NotCachedError, TextTooLongError}),
    headers=frozenset({"Model-Digest"}),
)


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


_EXPLAINED: Final = {
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

EXPLAIN: Final = Operation(
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
    response_example=_EXPLAINED,
    invalid=WRONG_SHAPE,
    problem=Problem,
    never=frozenset({NotCachedError, TextTooLongError}),
    headers=frozenset({"Model-Digest"}),
)
