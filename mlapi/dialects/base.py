"""What every wire format does: read a request, write an answer, write a refusal, describe itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import MlapiError
from mlapi.predictions import Answer, Prediction


@dataclass(frozen=True, slots=True)
class TextLimits:
    """What one request may hold: texts, and characters in each."""

    texts: int
    chars: int


class Identify(Protocol):
    """Gives answers the ids that feedback refers to."""

    def __call__(self, digest: bytes, prediction: Prediction) -> tuple[str, bool]:
        """Return the id of the answer to the text with this digest, and whether an opinion on it is asked for."""


@dataclass(frozen=True, slots=True)
class AnsweringModel:
    """What an answer may say of the model that gave it.

    Attributes:
        name: from its bundle.
        digest: the model digest.
        ranked: writes its labels and their scores.
        identify: gives its answers ids; None where there is no feedback, and an id only tells texts apart.
    """

    name: str
    digest: str
    ranked: RankedLabels
    identify: Identify | None = None


class Call(Protocol):
    """One request as its dialect read it; knows how its answer is written."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts, in the order in which they are answered."""

    @property
    def truncate(self) -> bool:
        """Whether a text that is longer than the model reads is cut; if not, the request is refused."""

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body, as a JSON pointer (RFC 6901)."""

    def write(self, answer: Answer, model: AnsweringModel) -> bytes:
        """Return the body of the answer, JSON."""


@dataclass(frozen=True, slots=True)
class Operation:
    """How a dialect's route stands in OpenAPI.

    Attributes:
        summary: one line.
        description: whatever else a caller should know.
        tag: the group that it is listed in.
        parameters: OpenAPI parameter objects, of query and headers.
        request_model: shape of the body.
        request_examples: OpenAPI examples of it, by name.
        response_model: shape of a good answer.
        response_description: what it holds.
        response_example: one such answer.
        invalid: what is said of a body of another shape.
        problem: shape of a refusal.
        never: the refusals that its requests cannot lead to.
    """

    summary: str
    description: str
    tag: str
    parameters: Sequence[Mapping[str, Any]]
    request_model: type[BaseModel]
    request_examples: Mapping[str, Any]
    response_model: Any
    response_description: str
    response_example: Any
    invalid: str
    problem: type[BaseModel]
    never: frozenset[type[MlapiError]] = frozenset()


class Refusal(NamedTuple):
    """The body of a refusal, and its media type."""

    media_type: str
    body: bytes


class ReadBody(Protocol):
    """Reads the bodies of requests with certain options."""

    def __call__(self, body: bytes, limits: TextLimits) -> Call:
        """Read a body, JSON by its content type.

        Raises:
            RequestError: anything is wrong with it; its violations point into the body.
        """


class Dialect(Protocol):
    """One wire format. Stateless: everything about a request is in its `Call`."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""

    def reader(self, query: bytes) -> ReadBody:
        """Return what reads a request with this query string, before its body has come.

        Raises:
            RequestError: an option that is not taken.
        """

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write an error; nothing but its own public words gets in."""
