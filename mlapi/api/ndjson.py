"""The lines of a request's body: some at a time, as they come."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Final

from starlette.types import Message, Receive

from mlapi.api.body import BodyReader, ClientGoneError
from mlapi.api.content_coding import ContentDecoder
from mlapi.api.line_splitter import LineSplitter
from mlapi.api.lines import Line
from mlapi.api.streams import StreamLife, wait_alive

MEDIA_TYPES: Final = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})
"""What a body of lines may be declared as."""

BATCH_LINES: Final = 128
_BATCH_BYTES: Final = 32_768
"""How many lines are answered together: enough to make good use of the model, few enough to be answered soon."""


class LineBody:
    """One body."""

    def __init__(
        self,
        receive: Receive,
        decoder: ContentDecoder | None,
        *,
        reader: BodyReader,
        life: StreamLife,
        max_line_bytes: int,
        idle_s: float,
    ) -> None:
        """Take the parts; nothing is received yet.

        Args:
            receive: brings the parts of the body.
            decoder: decodes it, if it was not sent as it is.
            reader: bounds what all bodies hold together.
            life: says when the stream has to end.
            max_line_bytes: how long a line may be.
            idle_s: how long nothing may come.
        """
        self._receive = receive
        self._decoder = decoder
        self._reader = reader
        self._life = life
        self._splitter = LineSplitter(max_line_bytes)
        self._idle_s = idle_s
        self._held = 0
        self._begun: Message | None = None

    async def begin(self) -> None:
        """Wait for the first part: until it is asked for, a caller may wait to be told that the body is wanted.

        Raises:
            ClientGoneError: the caller closed the connection.
            BodyTimeoutError: nothing came.
            DrainingError: the process is stopping.
        """
        self._begun = await self._next()

    async def batches(self) -> AsyncGenerator[Sequence[Line]]:
        """Yield lines that came together, up to a bound.

        Raises:
            DrainingError: the process is stopping; all lines that were received were yielded.
            BodyTimeoutError: nothing more came.
            ContentEncodingError: the body is not in the coding that it is said to be in.
            OverloadedError: too many long lines are being received.
            InvalidHttpError: the body is framed wrongly.
            ClientGoneError: the caller closed the connection.
        """
        splitter = self._splitter
        try:
            while True:
                message = self._begun or await self._next()
                self._begun = None
                body = message.get("body", b"")
                for piece in self._decoder.feed(body) if self._decoder else (body,):
                    for batch in _batched(splitter.feed(piece)):
                        yield batch
                    self._hold(splitter.held)
                if not message.get("more_body", False):
                    break
            if self._decoder is not None:
                self._decoder.finish()
            for line in splitter.finish():
                yield [line]
        finally:
            self._reader.release(self._held)
            self._held = 0

    def _hold(self, size: int) -> None:
        grown, self._held = size - self._held, size
        self._reader.hold(grown)

    async def _next(self) -> Message:
        """Return the next part of the body."""
        message = await wait_alive(asyncio.ensure_future(self._receive()), self._life, self._idle_s)
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message


def _batched(lines: Iterable[Line]) -> Iterator[Sequence[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line) if isinstance(line, bytes) else 0
        if len(batch) == BATCH_LINES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
