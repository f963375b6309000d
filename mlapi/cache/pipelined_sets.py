"""Many SETs in one round trip over a connection of redis-py's pool, with the outcome of each.

redis-py's own pipeline gives up in the middle when a reply is one of the errors that it makes connection errors of
(LOADING, NOAUTH); here every reply is read, so the outcome of each record is known and the connection can be kept.
"""

from collections.abc import Collection
from typing import NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, RedisError

from mlapi.cache.failures import refusal_code
from mlapi.cache.keys import redis_key
from mlapi.cache.pool import LeanPool


class Entry(NamedTuple):
    """One record to be stored, and for how long, in milliseconds."""

    digest: bytes
    record: bytes
    ttl_ms: int


class PipelinedSets:
    """The store of many texts' records."""

    def __init__(self, pool: LeanPool, namespace: bytes) -> None:
        """Use the connections of a pool; `namespace` from `mlapi.cache.keys`."""
        self._pool = pool
        self._namespace = namespace

    async def __call__(self, entries: Collection[Entry]) -> list[RedisError | None]:
        """Store records; return for each, in order, None if it was stored, else the error that Redis replied.

        Raises:
            RedisError: no connection, no reply within the pool's time limits, or one that no SET has.
            OSError: the connection broke.
        """
        commands = b"".join([self._command(entry) for entry in entries])
        connection = await self._pool.get_connection()
        try:
            await connection.send_packed_command((commands,))
            return [await _outcome(connection) for _ in entries]
        except BaseException:
            # What is left of the replies must not be read as those of the next command.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    def _command(self, entry: Entry) -> bytes:
        """Write one command as RESP does (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
        parts = (b"SET", redis_key(self._namespace, entry.digest), entry.record, b"PX", b"%d" % entry.ttl_ms)
        return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


async def _outcome(connection: AbstractConnection) -> RedisError | None:
    try:
        reply = await connection.read_response(disable_decoding=True, disconnect_on_error=False)
    except RedisError as error:
        if refusal_code(error) is None:
            raise
        return error
    if reply != b"OK":
        msg = "the reply to SET is neither OK nor an error"
        raise InvalidResponse(msg)
    return None
