"""The wire format of FMS Guardrails detectors: texts in, and of each the labels at or above a threshold out.

Source: the detector API of https://github.com/foundation-model-stack/fms-guardrails-orchestrator, as
https://github.com/trustyai-explainability/guardrails-detectors serves it for Hugging Face models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BaseModel, Field

from mlapi.dialects.base import AnsweringModel, Operation, ReadBody, Refusal, TextLimits, WireFormat
from mlapi.dialects.json_bodies import check_limits, decode, refuse_query, words
from mlapi.dialects.token_bounds import refuse_longer
from mlapi.errors import InvalidRequestError, MlapiError, TextTooLongError, Violation
from mlapi.predictions import Answer, Prediction

_TAG: Final = "FMS detectors"

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    threshold: _Share = 0.5
    label_thresholds: dict[str, _Share] = {}
    safe_labels: list[str | int] = []
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    contents: list[str]
    detector_params: _Parameters | None = None


_SHAPE: Final = 'the body is not {"contents": ["…"]}'
_BODY: Final = msgspec.json.Decoder(_Body)
_NO_PARAMETERS: Final = _Parameters()


class DetectorParameters(BaseModel):
    """Which labels are detections."""

    threshold: float = Field(0.5, ge=0, le=1, description="Least score of a detection.")
    label_thresholds: dict[str, float] = Field(default={}, description="The same, for labels of their own.")
    safe_labels: list[str | int] = Field(default=[], description="Labels, or their numbers, that are never detections.")
    max_length: int | None = Field(None, ge=1, description="Tokens of a text; one that has more is refused, not cut.")


class DetectorRequest(BaseModel):
    """Texts to look for something in."""

    contents: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, description="The texts.")
    detector_params: DetectorParameters | None = None


class Detection(BaseModel):
    """A label of a text, at or above its threshold."""

    start: int
    end: int = Field(description="Characters of the text: a whole text is classified.")
    text: str
    detection: Literal["sequence_classifier"]
    detection_type: str = Field(description="The label.")
    score: float
    evidences: list[Any]
    metadata: dict[str, Any]


class DetectorError(BaseModel):
    """What went wrong."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class DetectorCall:
    """One request."""

    texts: Sequence[str]
    parameters: _Parameters

    @property
    def truncate(self) -> bool:
        """Long texts are cut to what the model reads."""
        return True

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return f"/contents/{index}"

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return a list of detections for each text, by falling score.

        Raises:
            InvalidRequestError: a parameter names a label that the model does not have, or a text has too many tokens.
        """
        labels = model.ranked.labels
        safe = {self._label(item, f"safe_labels/{place}", labels) for place, item in enumerate(self._safe)}
        for label in self.parameters.label_thresholds:
            self._label(label, f"label_thresholds/{label}", labels)
        if self.parameters.max_length is not None:
            refuse_longer(answer.predictions, self.parameters.max_length, self.pointer)
        return msgspec.json.encode(
            [
                self._detections(text, prediction, model, safe)
                for text, prediction in zip(self.texts, answer.predictions, strict=True)
            ]
        )

    @property
    def _safe(self) -> Sequence[str | int]:
        return self.parameters.safe_labels

    def _label(self, item: str | int, place: str, labels: Sequence[str]) -> str:
        if isinstance(item, int) and 0 <= item < len(labels):
            return labels[item]
        if isinstance(item, int) or item not in labels:
            msg = "a label is named that the model does not have"
            fault = Violation(f"/detector_params/{place}", "is no label of this model")
            raise InvalidRequestError(msg, violations=[fault])
        return item

    def _detections(
        self, text: str, prediction: Prediction, model: AnsweringModel, safe: set[str]
    ) -> list[dict[str, Any]]:
        own, general = self.parameters.label_thresholds, self.parameters.threshold
        scored = zip(model.ranked.labels, model.ranked.scores(prediction.logits), strict=True)
        return [
            {
                "start": 0,
                "end": len(text),
                "text": text,
                "detection": "sequence_classifier",
                "detection_type": label,
                "score": score,
                "evidences": [],
                "metadata": {},
            }
            for label, score in sorted(scored, key=lambda item: -item[1])
            if label not in safe and score >= own.get(label, general)
        ]


@dataclass(frozen=True, slots=True)
class DetectorDialect:
    """Reads and writes it."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return Operation(
            summary="Detect labels as FMS Guardrails detectors do",
            description="For the FMS orchestrator and other callers of a detector. A header `detector-id` is ignored.",
            tag=_TAG,
            parameters=(),
            request_model=DetectorRequest,
            request_examples={
                "two texts": {"value": {"contents": ["fantastic", "terrible"], "detector_params": {"threshold": 0.5}}},
            },
            response_model=list[list[Detection]],
            response_description="For each text its detections, by falling score.",
            response_example=[
                [
                    {
                        "start": 0,
                        "end": 9,
                        "text": "fantastic",
                        "detection": "sequence_classifier",
                        "detection_type": "POSITIVE",
                        "score": 0.7127904295921326,
                        "evidences": [],
                        "metadata": {},
                    }
                ]
            ],
            invalid=_SHAPE,
            problem=DetectorError,
            never=frozenset({TextTooLongError}),
        )

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a body.

        Raises:
            InvalidRequestError: there is a query string.
        """
        refuse_query(query)
        return _read

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error as its clients read it."""
        return refuse(error, request_id)


def refuse(error: MlapiError, _: str) -> Refusal:
    """Write an error: its status once more, and its words."""
    status = int(error.status)
    return Refusal(status, "application/json", msgspec.json.encode({"code": status, "message": words(error)}))


def _read(body: bytes, limits: TextLimits) -> DetectorCall:
    """Read a request.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, an unknown or impossible parameter, no text, an empty or too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    asked = decode(_BODY, body, _SHAPE)
    check_limits(asked.contents, limits, "/contents", bare=False)
    return DetectorCall(asked.contents, asked.detector_params or _NO_PARAMETERS)


def wire_format() -> WireFormat:
    """Return its route, which does not name a model."""
    return WireFormat(
        tag=_TAG,
        description="Detectors of the FMS Guardrails orchestrator.",
        refuse=refuse,
        predictions={"api/v1/text/contents": DetectorDialect()},
        owns=("api/v1/text/contents",),
    )
