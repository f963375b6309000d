"""A Redis that says what a test tells it to, for replies that a real one gives only in states hard to reach."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Final, Self

import hiredis

from tests.service_process import HOST

HANG_UP: Final = None
"""Close the connection instead of replying."""

SILENCE: Final = b""
"""Do not reply."""


class ScriptedRedis:
    """Knows MGET and SET; an asynchronous context manager that closes it.

    Attributes:
        records: what is stored, by key.
        instead: what to reply to a command instead of doing it, in order, the last for ever.
        calls: how often each command came.
        connections: how many connections were made so far.
    """

    def __init__(self) -> None:
        """Start empty, and obey."""
        self.records: dict[bytes, bytes] = {}
        self.instead: dict[str, list[bytes | None]] = {}
        self.calls: Counter[str] = Counter()
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens, as a Redis URL."""
        return f"redis://{HOST}:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        commands = hiredis.Reader()
        while data := await reader.read(65536):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                reply = self._reply(command)
                if reply is None:
                    break
                writer.write(reply)
            else:
                continue
            break
        writer.close()

    def _reply(self, command: list[bytes]) -> bytes | None:
        name = command[0].decode()
        self.calls[name] += 1
        scripted = self.instead.get(name)
        if scripted:
            return scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if name == "SET":
            self.records[command[1]] = command[2]
            return b"+OK\r\n"
        assert name == "MGET", command
        values = [self.records.get(key) for key in command[1:]]
        return b"*%d\r\n" % len(values) + b"".join(
            b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values
        )
