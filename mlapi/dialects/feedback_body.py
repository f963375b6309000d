"""Reads opinions on answers from a request's body, and writes what became of them."""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from mlapi.dialects.base import TextLimits
from mlapi.dialects.json_bodies import BOM, check_encoding, refuse
from mlapi.errors import BatchTooLargeError, InvalidRequestError, MalformedJsonError, Violation

MAX_OPINIONS: Final = 100
MAX_COMMENT_CHARS: Final = 1000
_MAX_REASON_CHARS: Final = 200

WRONG_SHAPE: Final = 'the body is neither {"id": "…", "label": "…"} nor {"feedback": […]} with such objects'


class GivenOpinion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One opinion as the caller wrote it.

    Attributes:
        id: of the answer that it is about, as in `details`.
        label: what the text is.
        text: the text of the answer.
        consent: whether text and comment may be kept.
        comment: whatever else there is to say.
    """

    id: str
    label: str
    text: str | None = None
    consent: bool = False
    comment: str | None = None


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feedback: list[GivenOpinion]


class GivenFeedback(NamedTuple):
    """The opinions of a request; `bare` if there is one, not in a list."""

    opinions: Sequence[GivenOpinion]
    bare: bool

    def pointer(self, index: int, member: str) -> str:
        """Return where a member of an opinion stands in the body (RFC 6901)."""
        return f"/{member}" if self.bare else f"/feedback/{index}/{member}"


_ONE: Final = msgspec.json.Decoder(GivenOpinion)
_MANY: Final = msgspec.json.Decoder(_List)
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
"""Reads anything, and builds nothing of it."""


def read_feedback(body: bytes, limits: TextLimits) -> GivenFeedback:
    """Read a body, JSON by its content type.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, no opinion, a text or a comment that is too long.
        BatchTooLargeError: more opinions than one request may hold.
    """
    check_encoding(body)
    given = _decode(body.removeprefix(BOM))
    opinions = given.opinions
    if not opinions:
        refuse("feedback must hold at least one opinion", [Violation("/feedback", "is empty")])
    if len(opinions) > MAX_OPINIONS:
        msg = f"{len(opinions)} opinions; one request may hold {MAX_OPINIONS}"
        raise BatchTooLargeError(msg)
    long = [
        Violation(given.pointer(index, member), f"has {len(value)} characters; it may have {most}")
        for index, opinion in enumerate(opinions)
        for member, value, most in (
            ("text", opinion.text or "", limits.chars),
            ("comment", opinion.comment or "", MAX_COMMENT_CHARS),
        )
        if len(value) > most
    ]
    if long:
        refuse("a text or a comment is too long", long)
    return given


def _decode(body: bytes) -> GivenFeedback:
    """Read either shape. What is neither is left at its first fault: nothing large is built of it."""
    try:
        return GivenFeedback(_MANY.decode(body).feedback, bare=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        of_list = error
    try:
        return GivenFeedback([_ONE.decode(body)], bare=True)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        of_one = error
    try:
        _JSON.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MAX_REASON_CHARS]
        raise MalformedJsonError(reason) from error
    reason = str(of_list if "$.feedback" in str(of_list) else of_one)[:_MAX_REASON_CHARS]
    raise InvalidRequestError(WRONG_SHAPE, violations=[Violation("", reason)])


def write_feedback(opinions: Sequence[tuple[str, str, bool]]) -> bytes:
    """Write what became of opinions: the id, what it did, and whether the text is kept, of each."""
    return msgspec.json.encode(
        {"feedback": [{"id": id_, "status": did, "text_kept": kept} for id_, did, kept in opinions]}
    )


class OpinionRequest(BaseModel):
    """An opinion on an answer."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="Of the answer: `details[…].id` of a prediction with `?detail=true`.")
    label: str = Field(description="What the text is: one of the model's labels.", examples=["NEGATIVE"])
    text: str | None = Field(
        None,
        description="The text of the answer. Opinions with their text outlive a change of the model; without it an "
        "opinion counts for the answer alone.",
    )
    consent: bool = Field(
        default=False,
        description="Whether the text and the comment may be kept, for a bounded time, to learn from. Without it they "
        "are checked and forgotten.",
    )
    comment: Annotated[str, Field(max_length=MAX_COMMENT_CHARS)] | None = Field(
        None, description="Anything else; for people to read."
    )


class OpinionsRequest(BaseModel):
    """Several opinions: all of them are taken, or none."""

    model_config = ConfigDict(extra="forbid")

    feedback: Annotated[list[OpinionRequest], Field(min_length=1, max_length=MAX_OPINIONS)]


class OpinionOutcome(BaseModel):
    """What became of one opinion."""

    id: str
    status: str = Field(
        description="What it did to the caller's opinion on this text, of which there is one at a time.",
        json_schema_extra={"enum": ["created", "replaced", "unchanged"]},
    )
    text_kept: bool = Field(description="Whether the text is kept because of it.")


class FeedbackResponse(BaseModel):
    """The opinions are safe in the store; one entry each, in their order."""

    feedback: list[OpinionOutcome]
