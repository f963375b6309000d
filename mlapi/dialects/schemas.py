"""The public shapes of requests and answers, as OpenAPI documents them."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

_Text: TypeAlias = Annotated[str, Field(min_length=1)]


class PredictRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[
        _Text | Annotated[list[_Text], Field(min_length=1)],
        Field(description="The texts, in the order in which they are answered; a bare string is a list of one."),
    ]


class LabelScore(BaseModel):
    """One label and its probability."""

    label: str = Field(examples=["POSITIVE"])
    score: float = Field(ge=0, le=1, description="Probability, a float32 value.", examples=[0.7127904295921326])


class RankedLabel(LabelScore):
    """One label and its score."""

    score: float = Field(
        description="Probability, or with `scores=logits` the logit; a float32 value.", examples=[0.7127904295921326]
    )


class TextDetail(BaseModel):
    """How one text was answered."""

    cache: str = Field(
        description="Where the answer came from: this process (`l1`), Redis (`l2`), another request or text that asked "
        "for the same at the same time (`collapsed`), or the model.",
        json_schema_extra={"enum": ["l1", "l2", "collapsed", "model"]},
    )
    tokens: int = Field(
        ge=1,
        description="Tokens that the model read, special tokens included; of a text in windows, those of all windows.",
    )
    truncated: bool = Field(description="Whether the text was cut to the model's maximum.")
    windows: int | None = Field(
        None, ge=1, description="Only with `long=windows`: of how many windows the text was answered, 1 if it fits."
    )
    id: str = Field(description="Identifies text and model without telling either: refer to it in feedback.")
    ask: bool | None = Field(
        None,
        description="There, and true, where an opinion on this answer is asked for: it belongs to the random sample "
        "that the model is judged by.",
    )


class ModelReference(BaseModel):
    """Which model answered."""

    name: str
    digest: str = Field(description="Changes with anything that can change an answer.")


class PredictResponse(BaseModel):
    """One prediction for each text, in the order of the texts."""

    predictions: list[list[RankedLabel]] = Field(
        description="For each text its labels by falling score: all, or as many as `top_k` and `threshold` leave."
    )
    details: list[TextDetail] | None = Field(None, description="Only with `detail=true`.")
    model: ModelReference | None = Field(None, description="Only with `detail=true`.")


class Violation(BaseModel):
    """One thing that is wrong with the request."""

    pointer: str = Field(description="RFC 6901 JSON pointer into the body.", examples=["/text/3"])
    detail: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 describes it."""

    type: str = Field(description="Identifies the kind of problem.", examples=["urn:mlapi:problem:overloaded"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs.", examples=["overloaded"])
    request_id: str
    retryable: bool = Field(description="Whether the same request may succeed later.")
    errors: list[Violation] | None = Field(None, description="Each bad item.")
    violated_policies: list[str] | None = Field(
        None, alias="violated-policies", description="The quotas that the request would exceed.", examples=[["daily"]]
    )


class CacheHealth(BaseModel):
    """State of the cache."""

    status: str = Field(
        description="`ok`, `degraded` (Redis does not answer, or refuses; the service does without) or `disabled`.",
        json_schema_extra={"enum": ["ok", "degraded", "disabled"]},
    )
    reason: str | None = Field(
        None,
        description=(
            "What does not work, and why; absent unless the status is `degraded`. `look-ups` that fail are misses, "
            "`stores` that fail are dropped: `refused` with the code of Redis's reply, `no answer in time`, "
            "`no connection`, `not a Redis`."
        ),
        examples=["stores: refused (READONLY)"],
    )


class Health(BaseModel):
    """The service answers."""

    status: str = Field(examples=["ok"])
    cache: CacheHealth
    model: ModelReference


class ModelQuality(BaseModel):
    """Measured quality of the model, and of the reference that it was made from."""

    dataset: str
    texts: int
    accuracy: float
    reference_accuracy: float
    agreement: float = Field(description="Share of texts with the same label as the reference.")


class ModelInfo(BaseModel):
    """Which model this is."""

    name: str
    digest: str
    bundle_digest: str = Field(description="Of the bundle alone, whatever machine and version run it.")
    labels: list[str]
    max_tokens: int | None
    engine: str
    precision: str
    evaluation: ModelQuality | None = Field(description="The first of `evaluations`.")
    evaluations: list[ModelQuality] = Field(description="One entry a data set that the model was measured on.")
