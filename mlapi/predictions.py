"""The value types that every part shares: a prediction, where it came from, a text ready for the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self


class Source(StrEnum):
    """Where the answer to one text came from."""

    L1 = "l1"
    L2 = "l2"
    COLLAPSED = "collapsed"
    MODEL = "model"


class SourceCounts(NamedTuple):
    """How many of a request's texts came from where."""

    l1: int = 0
    l2: int = 0
    collapsed: int = 0
    model: int = 0

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Self:
        """Count."""
        return cls(*map(sources.count, Source))


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text as the model reads it.

    Attributes:
        ids: token ids, special tokens included; between 1 and the bundle's maximum many.
        truncated: whether tokens were cut off to fit that maximum.
        unknown: which share of its tokens, or of its words, the vocabulary lacks; None where that cannot be said.
    """

    ids: tuple[int, ...]
    truncated: bool
    unknown: float | None = None


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """One text as the model reads it, in words.

    Attributes:
        ids: as of an `EncodedText`.
        tokens: what each of them stands for.
        spans: where in the text each stands, in characters; None for one that does not, as special tokens do. None
            altogether where tokens are no pieces of the text.
        truncated: as of an `EncodedText`.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    spans: tuple[tuple[int, int] | None, ...] | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one text.

    Attributes:
        logits: one a label, in the order of the bundle's labels; each exactly representable as float32.
        label: the label with the highest score, of equal ones the first.
        tokens: how many tokens the model read, special tokens included.
        truncated: whether the text was cut to the model's maximum.
        rendering: the prediction in the form that wire formats share, made and kept by them when they first need it.
    """

    logits: tuple[float, ...]
    label: str
    tokens: int
    truncated: bool
    rendering: bytes | None = field(default=None, init=False, compare=False, repr=False)


class Answer(NamedTuple):
    """The answers to a request's texts, in their order.

    Attributes:
        predictions: one a text.
        sources: where each came from.
        digests: the texts' digests (see `mlapi.cache.keys`).
        counts: how many came from where.
        queue_s: longest time that one of the texts waited for the model, seconds.
        model_s: longest time that one of the texts spent in the model, seconds.
        stored: whether the model was asked, and a tier keeps all that it said: L1 has it, or L2 is about to.
        windows: of how many windows each text was answered; empty if texts were not to be cut into windows. The counts
            are of windows then.
    """

    predictions: Sequence[Prediction]
    sources: Sequence[Source]
    digests: Sequence[bytes]
    counts: SourceCounts
    queue_s: float = 0.0
    model_s: float = 0.0
    stored: bool = False
    windows: Sequence[int] = ()


class Query(NamedTuple):
    """A request's texts and their digests (see `mlapi.cache.keys`), in one order."""

    texts: Sequence[str]
    digests: tuple[bytes, ...]


class Found(NamedTuple):
    """What the cache holds of a request's texts.

    Attributes:
        l1: what L1 holds, one a text, in their order.
        l2: what L2 holds of the others, in the same order; None if it was not asked.
    """

    l1: Sequence[Prediction | None]
    l2: Sequence[Prediction | None] | None = None
