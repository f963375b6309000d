"""What every wire format does: read a request, write an answer, write a refusal, describe itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel

from mlapi.dialects.ranked import RankedLabels
from mlapi.dialects.schemas import ModelInfo
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
        served_as: by which requests name it.
    """

    name: str
    digest: str
    ranked: RankedLabels
    identify: Identify | None = None
    served_as: str = ""


class Content(NamedTuple):
    """The body of an answer that is not JSON alone.

    Attributes:
        body: its bytes.
        media_type: what they are.
        headers: further headers that the format puts beside them, names in lower case.
    """

    body: bytes
    media_type: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


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

    def write(self, answer: Answer, model: AnsweringModel) -> bytes | Content:
        """Return the body of the answer: bytes are JSON.

        Raises:
            RequestError: the answer shows that the request cannot be served as it wishes.
        """


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
        media_types: what a body may be, the usual one first, with an example of each but JSON.
        answers: media types of good answers beside JSON, with an example of each.
        headers: which of the headers of predictions its answers have; None: all.
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
    media_types: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    headers: frozenset[str] | None = None


class Refusal(NamedTuple):
    """A refusal: the HTTP status that the dialect's clients expect, the body, and its media type."""

    status: int
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


@runtime_checkable
class NegotiatingDialect(Dialect, Protocol):
    """A wire format whose bodies are not always JSON: headers say what they are."""

    def negotiate(self, query: bytes, headers: Mapping[bytes, bytes]) -> ReadBody | None:
        """Return what reads a request with this query string and these headers, before its body has come.

        None if it is, or has to be, a body of JSON for `reader`.

        Args:
            query: the query string.
            headers: by their names in lower case.

        Raises:
            RequestError: a media type or an option that is not taken.
        """


@runtime_checkable
class NamingDialect(Dialect, Protocol):
    """A wire format whose bodies may name the model that is to answer."""

    def named(self, call: Call) -> str | None:
        """Return that name, of a call that this dialect read; None: whichever is served where it was sent to."""


@runtime_checkable
class RepeatingDialect(Dialect, Protocol):
    """A wire format whose answers hold nothing of the texts: its calls can be kept without them."""

    def without_texts(self, call: Call) -> Call:
        """Return what writes the same answers as a call that this dialect read, and holds little but its options."""


Combine: TypeAlias = Literal["mean", "max"]
"""How the answer to a text is made of those to its windows: of each label the mean of the logits, or the highest."""


@runtime_checkable
class CombiningDialect(Dialect, Protocol):
    """A wire format whose requests may wish that long texts are answered by their windows."""

    def combine(self, call: Call) -> Combine | None:
        """Return how, for a call that this dialect read; None: they are cut, or refused."""


class ModelFacts(NamedTuple):
    """What a dialect's documents may say of a model.

    Attributes:
        name: by which requests name it.
        info: which model that is.
        limits: what one request may hold.
        max_waiting_tokens: tokens that may wait for the model.
        max_connections: requests that may be in progress.
        version: of the service.
    """

    name: str
    info: ModelInfo
    limits: TextLimits
    max_waiting_tokens: int
    max_connections: int
    version: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a dialect answers to a GET.

    Attributes:
        summary: one line.
        description: whatever else a caller should know.
        tag: the group that it is listed in.
        problem: shape of a refusal.
        write: returns the body, of the models that are served below the path it stands at.
        response_model: shape of the body; None: it is empty.
        response_example: one such body.
        ready: whether it is refused while no predictions are served.
    """

    summary: str
    description: str
    tag: str
    problem: type[BaseModel]
    write: Callable[[Sequence[ModelFacts]], object]
    response_model: Any = None
    response_example: object = None
    ready: bool = True


@dataclass(frozen=True, slots=True)
class WireFormat:
    """A protocol: its routes, and where they are mounted.

    In a path, `{model}` stands for a model's name. Such a route is there once for each model; one without, at the root
    of the process, is the first model's, unless the body names another.

    Attributes:
        tag: the group that it is listed in.
        description: of the group.
        refuse: how its paths refuse what has no route.
        predictions: its prediction routes, by path.
        documents: what it answers to a GET, by path.
        below_models: whether they are below each model's root.
        at_root: whether they are at the root of the process.
        owns: the beginnings of the paths that are its own, below whatever it is mounted at.
        streams: which of its paths below models' roots also takes lines, and answers them while they come.
    """

    tag: str
    description: str
    refuse: Callable[[MlapiError, str], Refusal]
    predictions: Mapping[str, Dialect]
    documents: Mapping[str, Document] = field(default_factory=dict)
    below_models: bool = True
    at_root: bool = True
    owns: Sequence[str] = ()
    streams: str = ""
