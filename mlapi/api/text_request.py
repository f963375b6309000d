"""Reads requests that have the body of `predict`, for routes that answer with something else than predictions."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from mlapi.access.keyring import Grant
from mlapi.access.keys_file import Scope as KeyScope
from mlapi.api.content_coding import find_decoder
from mlapi.api.headers import check_content_type, read_head
from mlapi.api.route import RouteParts, caller_name, check_pinned
from mlapi.api.served_model import LoadedModel
from mlapi.dialects.base import Operation, Refusal
from mlapi.dialects.native_body import decode_texts
from mlapi.dialects.problems import problem
from mlapi.errors import MlapiError, Violation

TAG: Final = "texts"
"""The group that such routes are listed in."""


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One request.

    Attributes:
        texts: its texts.
        bare: whether it was a single string instead of a list.
        query: its query string.
        model: the model that it is for.
        grant: what its key allows; None where there are no keys.
        client: whom it counts for.
        started: when it was taken up.
    """

    texts: Sequence[str]
    bare: bool
    query: bytes
    model: LoadedModel
    grant: Grant | None
    client: str
    started: float

    def pointer(self, index: int) -> str:
        """Return where a text stands in the body."""
        return "/text" if self.bare else f"/text/{index}"


Answer = Callable[[TextRequest, Receive], Coroutine[None, None, bytes]]
"""Returns the JSON that a request is answered with, or raises an `MlapiError`; it charges for the texts itself."""


class TextRoute:
    """One route below a model's root, as plain ASGI; the edge around it counts, and writes refusals."""

    def __init__(self, document: Callable[[], Operation], parts: RouteParts, scope: KeyScope, answer: Answer) -> None:
        """Document it by what `document` returns, when that is asked for; let in keys with `scope`."""
        self._document = document
        self._parts = parts
        self._scope = scope
        self._answer = answer

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""
        return self._document()

    def refuse(self, error: MlapiError, request_id: str) -> Refusal:
        """Write a problem document."""
        return problem(error, request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            MlapiError: it is refused.
            ClientGoneError: the caller left before its answer was there.
        """
        request = None
        try:
            request = await self._read(scope, receive)
            body = await self._answer(request, receive)
        except MlapiError as error:
            self._parts.accounting.refusal(error)
            if error.faults and request:
                pointers = [Violation(request.pointer(fault.index), fault.detail) for fault in error.faults]
                error.violations = tuple(pointers)
            raise
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"model-digest", request.model.digest),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, scope: Scope, receive: Receive) -> TextRequest:
        parts = self._parts
        started = parts.clock()
        headers = scope["headers"]
        grant = parts.gate.admit(headers, parts.served.name, self._scope) if parts.gate else None
        head = read_head(headers, parts.config.client_header)
        check_content_type(head.content_type)
        check_pinned(scope, head, parts.served)
        values = (value for name, value in headers if name == b"content-encoding")
        body = await parts.reader.read(receive, head.content_length, find_decoder(values) if head.encoded else None)
        texts = decode_texts(body, parts.config.limits)
        return TextRequest(
            texts.items,
            texts.bare,
            scope["query_string"],
            parts.served.loaded,
            grant,
            caller_name(grant, head, scope),
            started,
        )
