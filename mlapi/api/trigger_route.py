"""`POST /learn/alerts` and `POST /learn/events`: ask for runs of the learning loop, as plain ASGI."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.body import BodyReader
from mlapi.api.content_coding import find_decoder
from mlapi.api.headers import check_content_type
from mlapi.errors import FeedbackUnavailableError
from mlapi.feedback.base import StoreError
from mlapi.feedback.runs import Trigger

_log = logging.getLogger(__name__)

_RETRY_S = 5

ReadTriggers: TypeAlias = Callable[[bytes, dict[bytes, bytes]], Sequence[Trigger]]
"""Reads a body and headers."""

AskFor: TypeAlias = Callable[[Sequence[Trigger]], Sequence[str]]
"""Asks for runs; returns the ids of those that are new. Blocks, and raises a `StoreError`."""


class TriggerRoute:
    """One of the routes. What it raises, the edge around it turns into a problem document."""

    def __init__(self, read: ReadTriggers, ask_for: AskFor, reader: BodyReader, gate: Gate | None) -> None:
        """Take the parts.

        Args:
            read: reads triggers.
            ask_for: asks for the runs, in a thread.
            reader: reads bodies.
            gate: lets in those with an API key for administration; None: everybody.
        """
        self._read = read
        self._ask_for = ask_for
        self._reader = reader
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            MlapiError: nothing was asked for.
            ClientGoneError: the caller left before its request was complete.
        """
        if self._gate:
            self._gate.admit(scope["headers"], None, "admin")
        headers = dict(scope["headers"])
        check_content_type(headers.get(b"content-type", b""))
        decoder = None
        if b"content-encoding" in headers:
            decoder = find_decoder(value for name, value in scope["headers"] if name == b"content-encoding")
        body = await self._reader.read(receive, headers.get(b"content-length", b""), decoder)
        triggers = self._read(body, headers)
        try:
            new = await asyncio.to_thread(self._ask_for, triggers) if triggers else ()
        except StoreError as error:
            _log.warning("runs cannot be asked for now: %s", error)
            msg = "runs of the learning loop cannot be asked for now"
            raise FeedbackUnavailableError(msg, retry_after_s=_RETRY_S) from error
        content = msgspec.json.encode({"asked": len(triggers), "new": new})
        answer = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 202, "headers": answer})
        await send({"type": "http.response.body", "body": content})
