"""The words of the feedback: what an answer said, an opinion on it, and what became of the opinion."""

from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from typing import NamedTuple


class Sample(Flag):
    """Why somebody was asked for an opinion, if they were.

    Opinions that nobody asked for come from those who mind: only these samples tell how often the model is right.
    """

    NONE = 0
    TEXTS = auto()
    """Of all texts, each is drawn with the same probability, however often it is sent."""
    REQUESTS = auto()
    """Of all answers, each is drawn with the same probability."""


class ServedAnswer(NamedTuple):
    """What an answer said of a text, as its id tells.

    Attributes:
        address: of the text, under the model (see `mlapi.cache.keys`).
        model_digest: which model answered.
        label: the winning label, by its place in the list of the model's labels.
        score: its probability, a float32 value.
        sample: why an opinion was asked for.
    """

    address: bytes
    model_digest: str
    label: int
    score: float
    sample: Sample


@dataclass(frozen=True, slots=True)
class Vote:
    """One opinion, checked and ready for the store; nothing in it names a person, a text is there with consent only.

    Attributes:
        model: the name that the model is served under.
        tenant: whose deployment it is about; opinions of different tenants never replace each other.
        subject: a pseudonym of whoever has the opinion.
        answer: a pseudonym of text and model, which every vote has.
        text_key: a pseudonym of the text alone; None where the text was not given.
        label: what the text is, in the voter's opinion.
        served_label: what the model said.
        served_score: with which probability.
        model_digest: which model said it.
        sample: why the opinion was asked for.
        text: the text, for training; None without consent.
        comment: whatever else the voter said; None without consent.
        time_ms: when, in milliseconds since 1970.
    """

    model: str
    tenant: str
    subject: str
    answer: str
    text_key: str | None
    label: str
    served_label: str
    served_score: float
    model_digest: str
    sample: Sample
    text: str | None
    comment: str | None
    time_ms: int


class Status(StrEnum):
    """What a vote did to the opinion of its subject on its text."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    """The same opinion again: nothing was written."""


class Opinion(NamedTuple):
    """The current opinion of one subject on one text.

    Attributes:
        item: the text, by the random number that the store gave it.
        subject: likewise.
        label: what the text is.
        served_label: what the model said when it was asked.
        served_score: with which probability.
        model_digest: which model.
        sample: why the opinion was asked for.
        time_ms: when, in milliseconds since 1970.
        text: the text, where somebody allowed to keep it and its time is not over.
    """

    item: str
    subject: str
    label: str
    served_label: str
    served_score: float
    model_digest: str
    sample: Sample
    time_ms: int
    text: str | None


class Served(NamedTuple):
    """What one model said of a text that there are opinions on.

    Attributes:
        item: the text, by the random number that the store gave it.
        model_digest: which model.
        label: what it said.
        score: with which probability.
        sample: why opinions on it were asked for, of anybody.
    """

    item: str
    model_digest: str
    label: str
    score: float
    sample: Sample
