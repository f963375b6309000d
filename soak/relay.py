"""A steady address in front of what comes and goes: hands each connection on, and can be slow or cut all of them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from soak.wire import HOST

_PIECE: Final = 65_536


class Relay:
    """Hands each new connection on to one of its targets in turn; those that are open stay where they are.

    Attributes:
        targets: ports of this machine.
        delay_s: how long each piece is held up, in both directions.
        port: where it listens.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = list(targets)
        self.delay_s = 0.0
        self.port = 0
        self._turn = 0
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> int:
        """Reset all connections; return how many there were."""
        writers = [*self._open]
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    def close(self) -> None:
        """Stop."""
        self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            await asyncio.gather(self._hand_on(reader, far_writer), self._hand_on(far_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure = OSError("nobody is there")
        for _ in range(len(self.targets)):
            self._turn += 1
            try:
                return await asyncio.open_connection(HOST, self.targets[self._turn % len(self.targets)])
            except OSError as error:
                failure = error
        raise failure

    async def _hand_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        # A transport that is closed already says so in two ways.
        with suppress(OSError, RuntimeError):
            while data := await source.read(_PIECE):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
            return
        sink.transport.abort()
