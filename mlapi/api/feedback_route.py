"""`POST {root}/feedback`: takes opinions on answers, as plain ASGI."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.body import BodyReader
from mlapi.api.client_limit import client_name
from mlapi.api.content_coding import find_decoder
from mlapi.api.headers import check_content_type, read_head
from mlapi.api.votes_limit import VotesLimit
from mlapi.dialects.base import TextLimits
from mlapi.dialects.feedback_body import GivenFeedback, GivenOpinion, read_feedback, write_feedback
from mlapi.dialects.json_bodies import refuse, refuse_query
from mlapi.errors import Violation
from mlapi.feedback.answer_ids import AnswerIds, belongs
from mlapi.feedback.keys import FeedbackKeys
from mlapi.feedback.votes import ServedAnswer, Status, Vote
from mlapi.feedback.writer import FeedbackWriter
from mlapi.observability.metrics import FeedbackMetrics

TENANT: Final = "default"
"""Whose opinions they are, as long as a deployment is one tenant's."""

_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """The model whose answers are judged: its labels in their order, and what brings a text into canonical form."""

    labels: Sequence[str]
    canonical_form: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class FeedbackParts:
    """What the route works with.

    Attributes:
        name: the name that the model is served under.
        model: the model, once it is loaded.
        ids: reads the ids of its answers.
        keys: make pseudonyms.
        writer: takes votes to the store.
        votes_limit: how many one subject may send.
        reader: reads bodies.
        limits: what a request may hold.
        client_header: what names the subject where there are no API keys, in lower case; empty: its address.
        metrics: counts opinions.
        wall_clock: tells seconds since 1970.
        gate: lets in those with an API key for opinions, by whose ids subjects are named then; None: everybody.
    """

    name: str
    model: Callable[[], JudgedModel]
    ids: AnswerIds
    keys: FeedbackKeys
    writer: FeedbackWriter
    votes_limit: VotesLimit
    reader: BodyReader
    limits: TextLimits
    client_header: bytes
    metrics: FeedbackMetrics
    wall_clock: Callable[[], float]
    gate: Gate | None


class FeedbackRoute:
    """The route of one model. What it raises, the edge around it turns into a problem document."""

    def __init__(self, parts: FeedbackParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            MlapiError: the opinions were not taken, none of them.
            ClientGoneError: the caller left before its request was complete.
        """
        parts = self._parts
        grant = parts.gate.admit(scope["headers"], parts.name, "feedback") if parts.gate else None
        refuse_query(scope["query_string"])
        head = read_head(scope["headers"], parts.client_header)
        check_content_type(head.content_type)
        decoder = None
        if head.encoded:
            decoder = find_decoder(value for name, value in scope["headers"] if name == b"content-encoding")
        body = await parts.reader.read(receive, head.content_length, decoder)
        given = read_feedback(body, parts.limits)
        peer = scope.get("client")
        caller = grant.id if grant else client_name(head.client, peer[0] if peer else "")
        subject = parts.keys.pseudonym("subjects", caller.encode())
        model = parts.model()
        votes = self._check(given, model, subject)
        parts.votes_limit.check(subject, len(votes))
        statuses = await parts.writer.record(votes)
        for vote, status in zip(votes, statuses, strict=True):
            if status is not Status.UNCHANGED:
                verdict = "agrees" if vote.label == vote.served_label else "corrects"
                parts.metrics.votes.labels(parts.name, vote.served_label, verdict).inc()
        content = write_feedback(
            [
                (opinion.id, status.value, vote.text is not None)
                for opinion, vote, status in zip(given.opinions, votes, statuses, strict=True)
            ]
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        written = any(status is not Status.UNCHANGED for status in statuses)
        await send({"type": "http.response.start", "status": 201 if written else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _check(self, given: GivenFeedback, model: JudgedModel, subject: str) -> list[Vote]:
        """Return the votes of a request.

        Raises:
            InvalidRequestError: an id of no answer, a text of another one, a label that the model does not have.
        """
        violations: list[Violation] = []
        votes = []
        for index, opinion in enumerate(given.opinions):
            answer = self._parts.ids.read(opinion.id)
            if answer is None or answer.label >= len(model.labels):
                violations.append(Violation(given.pointer(index, "id"), "is not the id of an answer of this model"))
                continue
            form = b"" if opinion.text is None else model.canonical_form(opinion.text)
            if opinion.text is not None and not (form and belongs(form, answer)):
                violations.append(Violation(given.pointer(index, "text"), "is not the text of this answer"))
            if opinion.label not in model.labels:
                known = ", ".join(model.labels)
                violations.append(Violation(given.pointer(index, "label"), f"must be one of {known}"))
            votes.append(self._vote(opinion, answer, model, subject, form))
        if violations:
            refuse("no opinion was taken: something is wrong with some of them", violations)
        return votes

    def _vote(self, opinion: GivenOpinion, answer: ServedAnswer, model: JudgedModel, subject: str, form: bytes) -> Vote:
        pseudonym = self._parts.keys.pseudonym
        name = self._parts.name.encode()
        return Vote(
            model=self._parts.name,
            tenant=TENANT,
            subject=subject,
            answer=pseudonym("answers", name, answer.address, answer.model_digest.encode()),
            text_key=pseudonym("texts", name, form) if form else None,
            label=opinion.label,
            served_label=model.labels[answer.label],
            served_score=answer.score,
            model_digest=answer.model_digest,
            sample=answer.sample,
            text=opinion.text if opinion.consent else None,
            comment=opinion.comment if opinion.consent else None,
            time_ms=int(self._parts.wall_clock() * _MS),
        )
