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
        windows: of how many windows it was answered; None: not by windows.
    """

    source: Source
    tokens: int
    truncated: bool
    id: str
    ask: bool = False
    windows: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one text.

    Attributes:
        label: the label with the highest score; empty if there is none above the `threshold` that was asked for.
        score: of that label; 0 if there is none.
        scores: of all labels that were asked for, the highest first.
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
class Tokens:
    """How the model reads a text.

    Attributes:
        ids: of the tokens, special tokens included.
        tokens: what each of them stands for.
        offsets: where in the text each stands, in characters: the first, and the one behind the last; None: nowhere.
            None altogether where tokens are no pieces of the text.
        truncated: whether tokens were cut off.
    """

    ids: Sequence[int]
    tokens: Sequence[str]
    offsets: Sequence[tuple[int, int] | None] | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A word, or a run of words, of a text that is explained.

    Attributes:
        start, end: its place in the text, in characters.
        text: itself.
        effect: by how much it raises the log-odds of the label; None: nothing is left of the text without it.
    """

    start: int
    end: int
    text: str
    effect: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What speaks for a label, and against it.

    Attributes:
        label: which.
        score: its probability.
        log_odds: the logarithm of its odds.
        method: `occlusion`: an effect is what leaving the span out changes; `exact`: `base` and effects add up.
        spans: in the order of the text.
        truncated: whether the text was cut.
        base: what the label has before any word, where that is known.
    """

    label: str
    score: float
    log_odds: float
    method: Literal["occlusion", "exact"]
    spans: Sequence[Span]
    truncated: bool
    base: float | None = None


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
    windows: int | None = None


class _Predictions(msgspec.Struct):
    predictions: list[list[_LabelScore]]
    details: list[_Detail] | None = None


class _Tokenized(msgspec.Struct):
    texts: list[Tokens]


class _Opinion(msgspec.Struct):
    status: str


class _Opinions(msgspec.Struct):
    feedback: list[_Opinion]


class _Item(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Document(msgspec.Struct, kw_only=True, rename={"violated_policies": "violated-policies"}):
    status: int = 0
    code: str
    title: str = ""
    detail: str = ""
    request_id: str = ""
    retryable: bool = False
    errors: list[_Item] = []
    violated_policies: list[str] = []


class _LineDocument(_Document):
    retry_after: float | None = None


class _Line(msgspec.Struct):
    error: _LineDocument | None = None


def read_predictions(reply: Reply, texts: int, *, may_be_empty: bool = False) -> list[Prediction]:
    """Return the predictions of as many texts as were asked for; `may_be_empty`: also those without a label.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    answer = _decode(reply, _Predictions)
    details: Sequence[_Detail | None] = answer.details if answer.details is not None else [None] * texts
    if len(answer.predictions) != texts or len(details) != texts or not (may_be_empty or all(answer.predictions)):
        msg = f"{len(answer.predictions)} answers to {texts} texts, or answers without labels"
        raise UnexpectedAnswerError(msg)
    digest = reply.headers.get("model-digest", "")
    return [
        Prediction(
            label=scores[0].label if scores else "",
            score=scores[0].score if scores else 0.0,
            scores={item.label: item.score for item in scores},
            model_digest=digest,
            details=None
            if detail is None
            else Details(detail.cache, detail.tokens, detail.truncated, detail.id, detail.ask, detail.windows),
        )
        for scores, detail in zip(answer.predictions, details, strict=True)
    ]


def read_line(line: bytes, digest: str, *, may_be_empty: bool) -> Prediction | ApiError:
    """Return what a line of a stream says of one text.

    Raises:
        UnexpectedAnswerError: it is no such line.
    """
    reply = Reply(0, {"model-digest": digest}, line)
    refused = _decode(reply, _Line).error
    if refused is None:
        return read_predictions(reply, 1, may_be_empty=may_be_empty)[0]
    return _refusal(refused, refused.status, refused.retry_after, digest)


def read_tokens(reply: Reply, texts: int) -> list[Tokens]:
    """Return how the model reads as many texts as were asked for.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    found = _decode(reply, _Tokenized).texts
    if len(found) != texts:
        msg = f"{len(found)} answers to {texts} texts"
        raise UnexpectedAnswerError(msg)
    return found


def read_explanation(reply: Reply) -> Explanation:
    """Return what speaks for a label.

    Raises:
        UnexpectedAnswerError: the answer is of another shape.
    """
    return _decode(reply, Explanation)


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
    found = _decode(reply, _Opinions).feedback
    if len(found) != 1:
        msg = f"{len(found)} answers to one opinion"
        raise UnexpectedAnswerError(msg)
    return found[0].status


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
    return _refusal(said, reply.status, retry_after_s, header("model-digest", ""))


def _refusal(said: _Document, status: int, retry_after_s: float | None, model_digest: str) -> ApiError:
    violations = []
    for item in said.errors:
        found = _POINTER.fullmatch(item.pointer)
        violations.append(Violation(item.pointer, item.detail, int(found[1]) if found else None))
    return api_error(
        Problem(
            status=status,
            code=said.code,
            title=said.title,
            detail=said.detail,
            request_id=said.request_id,
            retryable=said.retryable,
            retry_after_s=retry_after_s,
            violations=tuple(violations),
            violated_policies=tuple(said.violated_policies),
            model_digest=model_digest,
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
