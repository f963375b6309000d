"""What a call returns, and how it is read from an answer of the service."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from mlapi_client.errors import ApiError, Problem, UnexpectedAnswerError, Violation, api_error

T = TypeVar("T")

Source: TypeAlias = Literal["l1", "l2", "collapsed", "model"]
"""Where an answer came from: the process's cache, Redis, another request for the same text, or the model."""

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""Statuses that may pass, when it was not the service that answered with them: its problems say so themselves."""

_POINTER: Final = re.compile(r"/text/(\d+)")


@dataclass(frozen=True, slots=True)
class Details:
    """How one text was answered.

    Attributes:
        source: where the answer came from.
        tokens: tokens that the model read, special tokens included.
        truncated: whether the text was cut to the model's maximum.
        id: identifies text and model without telling either; `feedback` refers to it.
        ask: whether an opinion on this answer is asked for.
    """

    source: Source
    tokens: int
    truncated: bool
    id: str
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one text.

    Attributes:
        label: the label with the highest score.
        score: of that label.
        scores: of all labels, the highest first.
        model_digest: which model answered.
        details: how it was answered, where `detail=True` asked for that.
    """

    label: str
    score: float
    scores: Mapping[str, float] = field(compare=False, repr=False)
    model_digest: str
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """Which model is served.

    Attributes:
        name: from its bundle.
        digest: changes with anything that can change an answer.
        labels: in the order of the model.
        max_tokens: how many it reads of a text; None: all.
        engine: what computes it.
        precision: of the arithmetic.
    """

    name: str
    digest: str
    labels: Sequence[str]
    max_tokens: int | None
    engine: str
    precision: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as HTTP brought it: header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _LabelScore(msgspec.Struct):
    label: str
    score: float


class _Detail(msgspec.Struct):
    cache: Source
    tokens: int
    truncated: bool
    id: str
    ask: bool = False


class _Predictions(msgspec.Struct):
    predictions: list[list[_LabelScore]]
    details: list[_Detail] | None = None


class _Opinion(msgspec.Struct):
    status: str


class _Opinions(msgspec.Struct):
    feedback: list[_Opinion]


class _Item(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Document(msgspec.Struct, rename={"violated_policies": "violated-policies"}):
    code: str
    title: str = ""
    detail: str = ""
    request_id: str = ""
    retryable: bool = False
    errors: list[_Item] = []
    violated_policies: list[str] = []


def read_predictions(reply: Reply, texts: int) -> list[Prediction]:
    """Return the predictions of as many texts as were asked for.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    answer = _decode(reply, _Predictions)
    details: Sequence[_Detail | None] = answer.details if answer.details is not None else [None] * texts
    if len(answer.predictions) != texts or len(details) != texts or not all(answer.predictions):
        msg = f"{len(answer.predictions)} answers to {texts} texts, or answers without labels"
        raise UnexpectedAnswerError(msg)
    digest = reply.headers.get("model-digest", "")
    return [
        Prediction(
            label=scores[0].label,
            score=scores[0].score,
            scores={item.label: item.score for item in scores},
            model_digest=digest,
            details=None
            if detail is None
            else Details(detail.cache, detail.tokens, detail.truncated, detail.id, detail.ask),
        )
        for scores, detail in zip(answer.predictions, details, strict=True)
    ]


def read_model(reply: Reply) -> Model:
    """Return which model is served.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    return _decode(reply, Model)


def read_opinion(reply: Reply) -> str:
    """Return what became of an opinion: `created`, `replaced` or `unchanged`.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    (opinion,) = _decode(reply, _Opinions).feedback or [_Opinion("")]
    return opinion.status


def read_refusal(reply: Reply, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> ApiError:
    """Return what a status that is not good means; also of a gateway, whose words are not kept."""
    header = reply.headers.get
    retry_after_s = _retry_after(header("retry-after", ""), now)
    try:
        said = msgspec.json.decode(reply.body, type=_Document)
    except (msgspec.DecodeError, RecursionError):
        problem = Problem(
            status=reply.status,
            title=f"HTTP {reply.status}, without a problem document",
            request_id=header("x-request-id", ""),
            retryable=reply.status in _RETRYABLE,
            retry_after_s=retry_after_s,
        )
        return api_error(problem)
    violations = []
    for item in said.errors:
        found = _POINTER.fullmatch(item.pointer)
        violations.append(Violation(item.pointer, item.detail, int(found[1]) if found else None))
    return api_error(
        Problem(
            status=reply.status,
            code=said.code,
            title=said.title,
            detail=said.detail,
            request_id=said.request_id,
            retryable=said.retryable,
            retry_after_s=retry_after_s,
            violations=tuple(violations),
            violated_policies=tuple(said.violated_policies),
            model_digest=header("model-digest", ""),
        )
    )


def _decode(reply: Reply, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"HTTP {reply.status} with a body that is no {kind.__name__.strip('_').lower()}: {error}"
        raise UnexpectedAnswerError(msg) from error


def _retry_after(value: str, now: Callable[[], datetime]) -> float | None:
    """Read a `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3); None of anything else."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now()).total_seconds())
