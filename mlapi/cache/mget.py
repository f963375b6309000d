"""One MGET over a connection of redis-py's pool, without the layers of redis-py in between.

The pool connects, authenticates, encrypts and finds broken connections; the connection reads and parses. What is left
out packs arguments of any kind, retries, and looks for plug-ins, which takes longer than the rest together.
"""

import asyncio
from collections.abc import Collection
from typing import Any

from redis.exceptions import InvalidResponse

from mlapi.cache.keys import DIGEST_BYTES, redis_key, redis_keys
from mlapi.cache.pool import LeanPool


class Mget:
    """The look-up of many texts' records."""

    def __init__(self, pool: LeanPool, namespace: bytes) -> None:
        """Use the connections of a pool; `namespace` from `mlapi.cache.keys`."""
        self._pool = pool
        self._namespace = namespace
        # What RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/) writes between keys of this length.
        self._between = b"\r\n$%d\r\n" % len(redis_key(namespace, bytes(DIGEST_BYTES)))

    async def __call__(self, digests: Collection[bytes]) -> list[Any]:
        """Return the texts' records, in order; None where there is none.

        A proxy in front of several servers may put an error in the place of one record: a `RedisError`, not raised.

        Raises:
            RedisError: no connection, a refusal, no reply within the pool's time limits, or one that no MGET has.
            OSError: the connection broke.
        """
        keys = redis_keys(self._namespace, digests)
        between = self._between
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


def _values(reply: object, count: int) -> list[Any]:
    if type(reply) is not list or len(reply) != count:
        msg = "the reply to MGET is not one value a key"
        raise InvalidResponse(msg)
    return reply
