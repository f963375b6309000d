"""The connections to the primary that Sentinels name, whichever that is when each of them is made."""

import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from mlapi.redis_nodes.address import HostPort, shown
from mlapi.redis_nodes.pool import LeanPool
from mlapi.redis_nodes.tls import TlsConnection

_logger = logging.getLogger(__name__)


class SentinelConnection(SentinelManagedConnection):
    """redis-py's, except that a replica's refusal of a write stays one, for the caller to tell and to act on."""

    async def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  as redis-py has it
        """Read one reply."""
        return await Connection.read_response(self, *args, **options)


class SentinelTlsConnection(SentinelConnection, TlsConnection):
    """The same, encrypted."""


class SentinelPool(LeanPool, SentinelConnectionPool):
    """The connections to one primary. When Sentinels name another, all are made anew."""

    def __init__(
        self, primary: str, sentinels: Sentinel, *, on_change: Callable[[HostPort], None], **options: object
    ) -> None:
        """Take the name of the primary, whom to ask for it, who is told of each new one, and redis-py's options."""
        super().__init__(primary, sentinels, **options)  # type: ignore[no-untyped-call]
        self._on_change = on_change

    async def get_master_address(self) -> HostPort:
        """Ask for the primary's address.

        Raises:
            RedisError: no Sentinel knows a primary that works.
        """
        address: HostPort = await self.sentinel_manager.discover_master(self.service_name)
        if address != self.master_address:
            before, self.master_address = self.master_address, address
            self._on_change(address)
            if before is not None:
                _logger.warning("Sentinels name another primary: %s, after %s", shown(*address), shown(*before))
                await self.renew()
        return address

    async def aclose(self) -> None:
        """Close the connections, those to the Sentinels too."""
        await super().aclose()
        await self.sentinel_manager.aclose()
