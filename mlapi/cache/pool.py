"""redis-py's pool of connections, for one event loop, with less to do each time that one is taken or put back.

redis-py's own takes a lock, keeps statistics for OpenTelemetry and tells subscribers, which for an MGET over a local
network costs as much as to send it and to read its reply. What makes a connection fit for use is redis-py's still.
"""

from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError


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


async def _usable(connection: AbstractConnection) -> bool:
    """Whether a connection is open and has nothing left over to be read: no data, no end, no error."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (RedisError, OSError):
        return False
