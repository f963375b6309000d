"""Reads a request body within bounds of size, time and memory, and names how callers leave."""

import asyncio
from typing import Final

from starlette.types import Message, Receive

from mlapi.api.body_deadline import Expiry
from mlapi.api.content_coding import ContentDecoder
from mlapi.errors import BodyTimeoutError, MalformedJsonError, OverloadedError, PayloadTooLargeError

CLIENT_GONE: Final = 499
"""What nginx logs for a caller that left; only ever a metric label, nobody is there to read it."""

SEND_FAILURES: Final = (OSError, RuntimeError)
"""What sending raises when the caller has gone: uvloop says RuntimeError of a connection that closed a moment ago."""


_STEPS_A_TURN: Final = 4
"""After so many steps of decoding, a quarter of a megabyte at most, the event loop turns to the other connections."""


class ClientGoneError(Exception):
    """The caller closed the connection; nobody is there to answer."""


class BodyReader:
    """Reads bodies; holds all that are being read at a time within one bound."""

    def __init__(self, max_bytes: int, max_held_bytes: int, expiry: Expiry) -> None:
        """Bound one body, and all bodies together that are being read; `expiry` ends those that do not come."""
        self._max_bytes = max_bytes
        self._max_held_bytes = max_held_bytes
        self._expiry = expiry
        self._held = 0

    async def read(self, receive: Receive, content_length: bytes, decoder: ContentDecoder | None = None) -> bytes:
        """Return the whole body, decoded.

        Args:
            receive: brings the parts of the body.
            content_length: the header `Content-Length`; empty if there is none.
            decoder: decodes the body, if it was not sent as it is.

        Raises:
            PayloadTooLargeError: more bytes than allowed, as sent or decoded; known from the length announced, else on
                the way.
            MalformedJsonError: the length announced is not a number.
            ContentEncodingError: the body does not decode.
            BodyTimeoutError: it was not complete in time.
            OverloadedError: too many large bodies are being read already.
            ClientGoneError: the connection broke before the end.
        """
        if content_length:
            # The parser leaves white space behind a value, which is no part of it (RFC 9110, section 5.5).
            content_length = content_length.strip()
            if not content_length.isdigit():
                msg = "Content-Length is not a number"
                raise MalformedJsonError(msg)
            self._check_size(int(content_length))
        try:
            return await self._expiry.wait(self._decode(receive, decoder) if decoder else self._read(receive))
        except TimeoutError:
            msg = "the body was not complete in time"
            raise BodyTimeoutError(msg) from None

    async def _read(self, receive: Receive) -> bytes:
        body, more = _chunk(await receive())
        self._check_size(len(body))
        return await self._read_rest(receive, body) if more else body

    async def _read_rest(self, receive: Receive, start: bytes) -> bytes:
        chunks = [start]
        size = len(start)
        held = 0
        more = True
        try:
            while more:
                grown, held = size - held, size
                self.hold(grown)
                chunk, more = _chunk(await receive())
                size += len(chunk)
                self._check_size(size)
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            self.release(held)

    async def _decode(self, receive: Receive, decoder: ContentDecoder) -> bytes:
        """Decode each part as it comes, and stop at the first byte beyond the bound."""
        decoded = bytearray()
        sent = held = steps = 0
        more = True
        try:
            while more:
                chunk, more = _chunk(await receive())
                sent += len(chunk)
                self._check_size(sent)
                for piece in decoder.feed(chunk):
                    self._check_size(len(decoded) + len(piece))
                    decoded += piece
                    held += len(piece)
                    self.hold(len(piece))
                    steps += 1
                    if steps % _STEPS_A_TURN == 0:
                        await asyncio.sleep(0)
            decoder.finish()
            return bytes(decoded)
        finally:
            self.release(held)

    def hold(self, size: int) -> None:
        """Count bytes of a body that have come and are not served yet, until they are released.

        Raises:
            OverloadedError: all such bodies together have too many; these count all the same.
        """
        self._held += size
        if self._held > self._max_held_bytes:
            msg = "too many large requests arrive together"
            raise OverloadedError(msg, retry_after_s=1)

    def release(self, size: int) -> None:
        """Count bytes no more that were held."""
        self._held -= size

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            msg = f"a body may have {self._max_bytes} bytes"
            raise PayloadTooLargeError(msg)


def _chunk(message: Message) -> tuple[bytes, bool]:
    """Return a part of the body, and whether more follow."""
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


async def wait_until_gone(receive: Receive) -> None:
    """Wait until the server, too, has noticed that a connection closed; else it would complain of a missing answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
