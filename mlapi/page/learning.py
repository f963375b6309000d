"""`/learn`: the page of the learning loop, for people with a browser and, where there are keys, with one for it."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.body import BodyReader
from mlapi.errors import MlapiError
from mlapi.feedback.base import StoreError
from mlapi.page.files import FOLDER, HTML, SECURITY, StaticFile
from mlapi.page.form import check_media_type, check_origin, read_form
from mlapi.page.inner_request import with_key
from mlapi.page.learning_rendering import Overview, learning_page

_log = logging.getLogger(__name__)

_FRESH_S: Final = 5.0
"""So long what was read from the database is shown to everybody: reloading a page must not wear it out."""

_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})


def style_sheet() -> StaticFile:
    """Return the pages' style sheet."""
    return StaticFile(FOLDER / "assets" / "page.css", "text/css; charset=utf-8")


class LearningRoute:
    """`GET /learn`, and `POST /learn` with an API key in a form; the page has no script."""

    def __init__(
        self, load: Callable[[], Overview], reader: BodyReader, gate: Gate | None, clock: Callable[[], float]
    ) -> None:
        """Take the parts.

        Args:
            load: reads how the loop is doing; blocks, and raises a `StoreError`.
            reader: reads forms.
            gate: lets in those with an API key for administration; None: everybody.
            clock: monotonic seconds, for the age of what was read.
        """
        self._load = load
        self._reader = reader
        self._gate = gate
        self._clock = clock
        self._reading = asyncio.Lock()
        self._known: tuple[float, Overview] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            MlapiError: a program's key is none, or not for administration.
            ClientGoneError: the caller left before its form was complete.
        """
        headers = scope["headers"]
        if scope["method"] == "POST":
            try:
                check_origin(headers)
                check_media_type(headers)
                form = read_form(await self._reader.read(receive, dict(headers).get(b"content-length", b"")))
                if self._gate:
                    self._gate.admit(with_key(headers, form.key), None, "admin")
            except MlapiError as error:
                await self._send(send, error.status, learning_page(None, notice=error.detail, keyed=True))
                return
        elif self._gate:
            if not any(name in _CREDENTIALS for name, _ in headers):
                await self._send(send, HTTPStatus.OK, learning_page(None, keyed=True))
                return
            self._gate.admit(headers, None, "admin")
        try:
            overview = await self._overview()
        except StoreError as error:
            _log.warning("the learning loop cannot be looked at now: %s", error)
            notice = "The store of the learning loop does not answer now. Load the page again in a moment."
            await self._send(send, HTTPStatus.SERVICE_UNAVAILABLE, learning_page(None, notice=notice))
            return
        await self._send(send, HTTPStatus.OK, learning_page(overview))

    async def _overview(self) -> Overview:
        async with self._reading:
            if self._known is None or self._clock() - self._known[0] > _FRESH_S:
                self._known = (self._clock(), await asyncio.to_thread(self._load))
            return self._known[1]

    async def _send(self, send: Send, status: int, content: bytes) -> None:
        headers = [
            (b"content-type", HTML),
            (b"content-length", b"%d" % len(content)),
            (b"cache-control", b"no-store"),
            *SECURITY,
        ]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": content})
