"""redis-py's pool of connections, for one event loop, with less to do each time that one is taken or put back.

redis-py's own takes a lock, keeps statistics for OpenTelemetry and tells subscribers, which for an MGET over a local
network costs as much as to send it and to read its reply. What makes a connection fit for use is redis-py's still.
"""

from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from mlapi.redis_nodes.failures import refusal_code


class LeanPool(ConnectionPool):
    """The connections of one client.

    No lock is needed: between looking at the pool and changing it, nothing else runs.
    """

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> AbstractConnection:  # noqa: ANN401  as redis-py has it
        """Return a connection that is open, and on which nothing is to be read.

        Raises:
            RedisError: there is none, or Redis refuses it.
            OSError: the connection broke.
        """
        del command_name, keys, options
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            if not await _usable(connection):
                await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Put a connection back; one that is to be made anew is closed first."""
        self._in_use_connections.remove(connection)
        try:
            if connection.should_reconnect():  # type: ignore[no-untyped-call]
                await connection.disconnect(nowait=True)
        finally:
            self._available_connections.append(connection)

    async def renew(self) -> None:
        """Have all connections made anew: those that are idle now, the others when they are put back."""
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        for connection in tuple(self._available_connections):
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)


async def read_replies(connection: AbstractConnection, count: int) -> list[Any]:
    """Read the replies to a pipeline; an error that Redis replied stands in the place of its reply.

    redis-py's own pipeline gives up in the middle when a reply is one of the errors that it makes connection errors of
    (LOADING, NOAUTH); here every reply is read, so the outcome of each command is known and the connection can be kept.

    Raises:
        RedisError: no reply within the connection's time limits, or what is no reply at all.
        OSError: the connection broke.
    """
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response(disable_decoding=True, disconnect_on_error=False))
        except RedisError as error:
            if refusal_code(error) is None:
                raise
            replies.append(error)
    return replies


async def _usable(connection: AbstractConnection) -> bool:
    """Whether a connection is open and has nothing left over to be read: no data, no end, no error."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (RedisError, OSError):
        return False
