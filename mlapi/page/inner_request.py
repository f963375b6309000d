"""Asks another route of the process on behalf of a form, as if its sender had sent JSON there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlapi.api.body import ClientGoneError

_OF_THE_FORM: Final = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"expect"}
)
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a route answered."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def with_key(headers: Headers, key: str) -> list[tuple[bytes, bytes]]:
    """Return a form's headers, with the key of its field in the place of others."""
    if not key:
        return list(headers)
    kept = [item for item in headers if item[0] not in _CREDENTIALS]
    return [*kept, (b"authorization", b"Bearer " + key.encode(errors="replace"))]


async def ask(
    app: ASGIApp, scope: Scope, receive: Receive, *, headers: Headers, body: bytes, query: bytes = b""
) -> Answered:
    """Send JSON to a route; it sees the caller leave.

    Raises:
        ClientGoneError: the caller left, and the route did not answer.
    """
    status, answered, parts = 0, {}, []
    given = False

    async def receive_body() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def keep(message: Message) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status, answered = message["status"], dict(message["headers"])
        else:
            parts.append(message.get("body", b""))

    inner: Scope = {
        **scope,
        "method": "POST",
        "query_string": query,
        "headers": [
            *(item for item in headers if item[0] not in _OF_THE_FORM),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            # Of two the last counts: the request within has the id of the one that its sender knows.
            (b"x-request-id", scope["state"]["request_id"].encode()),
        ],
    }
    send: Send = keep
    await app(inner, receive_body, send)
    if not status:
        raise ClientGoneError
    return Answered(status, answered, b"".join(parts))
