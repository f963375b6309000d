"""The wire format of Amazon SageMaker's Hugging Face containers: JSON, CSV or JSON lines to `/invocations`.

An answer is what the pipeline inside such a container returns: the best label of each text, or with `top_k` a list.
Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html, and
`decoder_encoder.py` of https://github.com/aws/sagemaker-huggingface-inference-toolkit.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, Field

from mlapi.dialects.base import AnsweringModel, Content, Document, Operation, ReadBody, Refusal, TextLimits, WireFormat
from mlapi.dialects.json_bodies import BOM, check_limits, decode, refuse_query, words
from mlapi.dialects.schemas import LabelScore
from mlapi.errors import InvalidRequestError, MalformedJsonError, MlapiError, TextTooLongError, Violation
from mlapi.postprocessing import probabilities
from mlapi.predictions import Answer, Prediction

_TAG: Final = "SageMaker"

_Function = Literal["softmax", "sigmoid", "none"]
_Format = Literal["application/json", "text/csv", "application/jsonlines"]
_UNSET: Final = msgspec.UNSET


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    top_k: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType | None = _UNSET
    function_to_apply: _Function | None = None
    truncation: Literal[True] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: _Parameters | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str


_SHAPE: Final = 'the body is not {"inputs": "…", "parameters": {…}}'
_CSV_SHAPE: Final = "the body is not CSV with the one column inputs"
_LINE_SHAPE: Final = 'a line is not {"inputs": "…"}'
_BODY: Final = msgspec.json.Decoder(_Body)
_LINE: Final = msgspec.json.Decoder(_Line)
_NO_PARAMETERS: Final = _Parameters()

_CSV_EXAMPLE: Final = "inputs\nfantastic\n"
_LINES_EXAMPLE: Final = '{"inputs":"fantastic"}\n'


class SageMakerParameters(BaseModel):
    """How the scores are made and how many of them are wanted."""

    top_k: int | None = Field(
        None, ge=1, description="How many labels, the best ones, `null`: all; absent: the best one, without a list."
    )
    function_to_apply: _Function | None = Field(None, description="By default the model's own activation.")
    truncation: Literal[True] | None = Field(None, description="Long texts are always cut.")


class SageMakerRequest(BaseModel):
    """Texts to classify."""

    inputs: str | list[str] = Field(description="The texts, in the order in which they are answered.")
    parameters: SageMakerParameters | None = None


class SageMakerScore(LabelScore):
    """One label and its score."""

    score: float = Field(description="Probability, or what `function_to_apply` makes.", examples=[0.7127904295921326])


class SageMakerError(BaseModel):
    """What went wrong."""

    code: int
    type: str = Field(description="Stable, for programs; the `code` of this service's own problem documents.")
    message: str


@dataclass(frozen=True, slots=True)
class SageMakerCall:
    """One request.

    Attributes:
        texts: its texts.
        form: what its body was: one string, a list, a table or lines.
        parameters: how the scores are wanted.
        accepted: what the answer is to be.
    """

    texts: Sequence[str]
    form: Literal["string", "list", "table", "lines"]
    parameters: _Parameters
    accepted: _Format

    @property
    def truncate(self) -> bool:
        """Long texts are cut, as the pipeline in such a container does."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body: in lines and tables, its number from 0."""
        return "/inputs" if self.form == "string" else f"/inputs/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes | Content:
        """Return what the pipeline would, as JSON, CSV or JSON lines."""
        best = [self._ranked(prediction, model) for prediction in answer.predictions]
        if self.accepted == "text/csv":
            return Content(_table(best), b"text/csv; charset=utf-8")
        if self.parameters.top_k is _UNSET:
            rows: list[Any] = [items[0] for items in best]
        else:
            rows = best[0] if self.form == "string" else best
        if self.accepted == "application/jsonlines":
            lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
            return Content(lines, b"application/jsonlines")
        return msgspec.json.encode(rows)

    def _ranked(self, prediction: Prediction, model: AnsweringModel) -> list[dict[str, Any]]:
        function = self.parameters.function_to_apply
        scores: Callable[[Sequence[float]], Sequence[float]] = model.ranked.scores
        if function == "none":
            scores = tuple
        elif function is not None:
            scores = partial(probabilities, activation=function)
        scored = sorted(zip(model.ranked.labels, scores(prediction.logits), strict=True), key=lambda item: -item[1])
        count = self.parameters.top_k
        if count is _UNSET:
            count = 1
        return [
            {"label": label, "score": score} for label, score in scored[: count if isinstance(count, int) else None]
        ]


def _table(best: Sequence[Sequence[Mapping[str, Any]]]) -> bytes:
    """Write labels and scores as CSV (RFC 4180), one row for each, in the order of the texts."""
    written = io.StringIO()
    rows = csv.DictWriter(written, ("label", "score"), lineterminator="\n")
    rows.writeheader()
    rows.writerows(item for items in best for item in items)
    return written.getvalue().encode()


@dataclass(frozen=True, slots=True)
class SageMakerDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Classify as a SageMaker container does",
            description="For SageMaker endpoints, batch transform jobs, and clients of `invoke_endpoint`. The answer "
            "is JSON unless `Accept` says `text/csv` or `application/jsonlines`; to JSON lines it is lines.",
            tag=_TAG,
            parameters=(
                {
                    "name": "Accept",
                    "in": "header",
                    "description": "What the answer is to be; other values mean JSON.",
                    "schema": {"type": "string"},
                },
            ),
            request_model=SageMakerRequest,
            request_examples={
                "one text": {"value": {"inputs": "It wasn't bad at all."}},
                "all labels": {"value": {"inputs": ["fantastic", "terrible"], "parameters": {"top_k": None}}},
            },
            response_model=list[SageMakerScore] | list[list[SageMakerScore]],
            response_description="The best label of each text; with `top_k` a list of them.",
            response_example=[{"label": "POSITIVE", "score": 0.7127904295921326}],
            invalid=_SHAPE,
            problem=SageMakerError,
            never=frozenset({TextTooLongError}),
            media_types={"text/csv": _CSV_EXAMPLE, "application/jsonlines": _LINES_EXAMPLE},
            answers={
                "text/csv": "label,score\nPOSITIVE,0.7127904295921326\n",
                "application/jsonlines": '{"label":"POSITIVE","score":0.7127904295921326}\n',
            },
        )

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body of JSON.

        Raises:
            InvalidRequestError: there is a query string.
        """
        refuse_query(query)
        return partial(_read_json, "application/json")

    def negotiate(self, query: bytes, headers: Mapping[bytes, bytes]) -> ReadBody | None:
        """Return what reads a body of this media type; None: JSON, answered by JSON.

        Raises:
            InvalidRequestError: there is a query string.
        """
        sent = _plain(headers.get(b"content-type", b""))
        accepted = _plain(headers.get(b"accept", b""))
        self.reader(query)
        answer: _Format = "application/json"
        if accepted == "text/csv":
            answer = "text/csv"
        elif accepted in _LINE_TYPES or (sent in _LINE_TYPES and accepted != "application/json"):
            answer = "application/jsonlines"
        if sent == "text/csv":
            return partial(_read_table, answer)
        if sent in _LINE_TYPES:
            return partial(_read_lines, answer)
        if sent in {"", "application/json"} and answer != "application/json":
            return partial(_read_json, answer)
        return None

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)


_LINE_TYPES: Final = frozenset({"application/jsonlines", "application/x-jsonlines", "application/x-ndjson"})


def _plain(media_type: bytes) -> str:
    return media_type.partition(b";")[0].strip().lower().decode("latin-1")


def _read_json(accepted: _Format, body: bytes, limits: TextLimits) -> SageMakerCall:
    """Read a body of JSON.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, an unknown or impossible parameter, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked = decode(_BODY, body, _SHAPE)
    bare = isinstance(asked.inputs, str)
    texts = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
    check_limits(texts, limits, "/inputs", bare=bare)
    return SageMakerCall(texts, "string" if bare else "list", asked.parameters or _NO_PARAMETERS, accepted)


def _read_table(accepted: _Format, body: bytes, limits: TextLimits) -> SageMakerCall:
    """Read CSV with a header.

    Raises:
        InvalidRequestError: it is not that, or has other columns, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    try:
        header, *rows = csv.reader(io.StringIO(body.removeprefix(BOM).decode(), newline=""), strict=True)
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InvalidRequestError(_CSV_SHAPE) from error
    if header != ["inputs"]:
        raise InvalidRequestError(_CSV_SHAPE, violations=[Violation("", "must begin with the line inputs")])
    wrong = [index for index, row in enumerate(rows) if len(row) != 1]
    if wrong:
        violations = [Violation(f"/inputs/{index}", "is not one column") for index in wrong[:100]]
        raise InvalidRequestError(_CSV_SHAPE, violations=violations)
    texts = [row[0] for row in rows]
    check_limits(texts, limits, "/inputs", bare=False)
    return SageMakerCall(texts, "table", _NO_PARAMETERS, accepted)


def _read_lines(accepted: _Format, body: bytes, limits: TextLimits) -> SageMakerCall:
    """Read JSON lines; empty ones are none.

    Raises:
        MalformedJsonError: a line is not JSON in UTF-8.
        InvalidRequestError: a line has another shape, or a too long text; there is no text.
        BatchTooLargeError: more texts than one request may hold.
    """
    texts = []
    for number, line in enumerate(filter(bytes.strip, body.removeprefix(BOM).split(b"\n"))):
        try:
            texts.append(decode(_LINE, line, _LINE_SHAPE).inputs)
        except InvalidRequestError as error:
            said = "; ".join(item.detail for item in error.violations)
            raise InvalidRequestError(_LINE_SHAPE, violations=[Violation(f"/inputs/{number}", said)]) from error
        except MalformedJsonError as error:
            msg = f"line {number}: {error.detail}"
            raise MalformedJsonError(msg) from error
    check_limits(texts, limits, "/inputs", bare=False)
    return SageMakerCall(texts, "lines", _NO_PARAMETERS, accepted)


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error: what is wrong with a request is 400, as in such a container."""
    status = 400 if isinstance(error, InvalidRequestError) else int(error.status)
    document = {"code": status, "type": error.code, "message": words(error)}
    return Refusal(status, "application/json", msgspec.json.encode(document))


def wire_format() -> WireFormat:
    """Return its routes: at the root of the process, where a container has them, and where boto3 asks an endpoint."""
    dialect = SageMakerDialect()
    return WireFormat(
        tag=_TAG,
        description="Amazon SageMaker's containers for Hugging Face models.",
        refuse=refuse,
        predictions={"invocations": dialect, "endpoints/{model}/invocations": dialect},
        documents={
            "ping": Document(
                summary="Whether predictions are served",
                description="200 without a body if they are.",
                tag=_TAG,
                problem=SageMakerError,
                write=lambda _: None,
            )
        },
        below_models=False,
        owns=("invocations", "ping", "endpoints"),
    )
