"""The chain of events: their content as bytes that never change, and the hash that ties each to all before it."""

from hashlib import blake2b
from typing import Final

import msgspec

ROOT: Final = ""
"""The hash that the first event follows."""


class VoteCast(msgspec.Struct, frozen=True, tag="vote", forbid_unknown_fields=True):
    """Somebody had an opinion.

    Attributes:
        item: the text, by a random number.
        subject: who, by a random number.
        label: what the text is.
        served_label: what the model had said.
        served_score: with which probability.
        model: the name that the model is served under.
        model_digest: which model that was.
        sample: why the opinion was asked for (see `mlapi.feedback.votes.Sample`).
        text: whether the text was given to keep.
    """

    item: str
    subject: str
    label: str
    served_label: str
    served_score: float
    model: str
    model_digest: str
    sample: int
    text: bool


class ItemsMerged(msgspec.Struct, frozen=True, tag="merged", forbid_unknown_fields=True):
    """Two items turned out to be one text: the opinions on `item` are opinions on `into`."""

    item: str
    into: str


class ItemErased(msgspec.Struct, frozen=True, tag="item-erased", forbid_unknown_fields=True):
    """All that was known of a text was erased."""

    item: str


class SubjectErased(msgspec.Struct, frozen=True, tag="subject-erased", forbid_unknown_fields=True):
    """All that was known of a subject was erased."""

    subject: str


class TextsExpired(msgspec.Struct, frozen=True, tag="texts-expired", forbid_unknown_fields=True):
    """So many texts and comments were erased because their time was over."""

    count: int


class DatasetExported(msgspec.Struct, frozen=True, tag="dataset-exported", forbid_unknown_fields=True):
    """Texts to learn from were written: the SHA-256 of the file, and how many; from all events before this one."""

    digest: str
    model: str
    texts: int


class ModelRegistered(msgspec.Struct, frozen=True, tag="model-registered", forbid_unknown_fields=True):
    """A model was made: what is known of it (see `mlapi.feedback.registry.Registered`), as JSON."""

    digest: str
    model: str
    facts: str


class ModelDecided(msgspec.Struct, frozen=True, tag="model-decided", forbid_unknown_fields=True):
    """Something was decided about a model.

    Attributes:
        digest: of the model's bundle.
        model: the name that it is, or was to be, served under.
        decision: see `mlapi.feedback.registry.Decision`.
        replaced: the digest of the champion before, where the champion is another one now; else empty.
        reason: in words.
    """

    digest: str
    model: str
    decision: str
    replaced: str
    reason: str


Event = (
    VoteCast
    | ItemsMerged
    | ItemErased
    | SubjectErased
    | TextsExpired
    | DatasetExported
    | ModelRegistered
    | ModelDecided
)

_encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Event).decode
"""Reads the content of an event.

Raises:
    msgspec.DecodeError: it is none.
"""


def content_of(event: Event) -> str:
    """Return an event as JSON, with its members in the order of its class."""
    return _encode(event).decode()


def event_hash(previous: str, seq: int, at: int, content: str) -> str:
    """Return the hash of an event, 64 hexadecimal digits: of the hash before it, its number, time and content."""
    state = blake2b(digest_size=32, person=b"mlapi event")
    state.update(f"{previous}\n{seq}\n{at}\n{content}".encode())
    return state.hexdigest()
