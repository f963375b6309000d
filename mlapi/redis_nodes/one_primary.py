"""A Redis that has one primary, be it one that Sentinels name: one MGET, one pipeline, one connection for each.

The commands travel over a connection of redis-py's pool, without the layers of redis-py in between. The pool connects,
authenticates, encrypts and finds broken connections; the connection reads and parses. What is left out packs arguments
of any kind, retries, and looks for plug-ins, which takes longer than the rest together.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import InvalidResponse, RedisError

from mlapi.redis_nodes.base import Command
from mlapi.redis_nodes.pool import LeanPool, read_replies


class OnePrimary:
    """`RedisNodes` over the connections of one pool."""

    trouble = None

    def __init__(self, pool: LeanPool, *, max_backoff_s: float) -> None:
        """Take the pool; nothing is connected yet."""
        self._pool = pool
        self.max_backoff_s = max_backoff_s

    async def mget(self, keys: Sequence[bytes]) -> list[Any]:
        """See `RedisNodes`; all keys travel in one MGET.

        A proxy in front of several servers may put an error in the place of one value: a `RedisError`, not raised.
        """
        # What RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/) writes between keys of this length.
        between = b"\r\n$%d\r\n" % len(keys[0])
        command = b"*%d\r\n$4\r\nMGET%b%b\r\n" % (1 + len(keys), between, between.join(keys))
        connection = await self._pool.get_connection()
        # redis-py would time both halves, the first in a task of its own.
        limit_s, connection.socket_timeout = connection.socket_timeout, None
        try:
            async with asyncio.timeout(limit_s):
                await connection.send_packed_command((command,))
                return _values(await connection.read_response(disable_decoding=True), len(keys))
        except BaseException:
            # What is left of the reply must not be read as that of the next command.
            await connection.disconnect(nowait=True)
            raise
        finally:
            connection.socket_timeout = limit_s
            await self._pool.release(connection)

    async def pipeline(self, commands: Sequence[Command], *, limit_s: float) -> list[Any]:
        """See `RedisNodes`; all commands travel together."""
        async with asyncio.timeout(limit_s):
            connection = await self._pool.get_connection()
            try:
                await connection.send_packed_command((b"".join([command.packed for command in commands]),))
                return await read_replies(connection, len(commands))
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._pool.release(connection)

    async def renew(self) -> None:
        """Make all connections anew: a name that stands for another server by now is resolved again."""
        await self._pool.renew()

    async def close(self) -> None:
        """Close the connections."""
        with suppress(RedisError, OSError):
            await self._pool.aclose()


def _values(reply: object, count: int) -> list[Any]:
    if type(reply) is not list or len(reply) != count:
        msg = "the reply to MGET is not one value a key"
        raise InvalidResponse(msg)
    return reply
