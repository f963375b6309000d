"""The protocol of Redis in any of its forms, as those who ask it see it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError


class Command(NamedTuple):
    """One command as it travels, and the key that says which node of a cluster it is for."""

    key: bytes
    packed: bytes


class NodeAwayError(RedisConnectionError):
    """A node of a cluster is not asked for now, because it failed; stands in the place of a reply."""


class RedisNodes(Protocol):
    """One Redis: a server, the primary that Sentinels name, or a cluster.

    Replies come in the order of what was asked. An error reply stands in the place of its reply, as a `RedisError`; so
    does, in a cluster, what became of a node that did not reply.
    """

    @property
    def max_backoff_s(self) -> float:
        """How long at most it is not asked after it failed: short where another server takes its place."""

    @property
    def trouble(self) -> str | None:
        """Which part does not answer while others do, for anyone to read; None if there is none."""

    async def mget(self, keys: Sequence[bytes]) -> list[Any]:
        """Return the values of keys, which are all of the same length; None where there is none.

        Raises:
            RedisError: no connection, a refusal, no reply within the time limits, or one that no MGET has.
            OSError: the connection broke.
        """

    async def pipeline(self, commands: Sequence[Command], *, limit_s: float) -> list[Any]:
        """Send commands together and return their replies.

        Raises:
            RedisError: no connection, or no reply within the time limits.
            OSError: the connection broke, or `limit_s` seconds passed (a `TimeoutError`).
        """

    async def renew(self) -> None:
        """Make connections anew, and find out where they lead: a server said that it is a replica."""

    async def close(self) -> None:
        """Close all connections."""


def pack(*parts: bytes) -> bytes:
    """Write a command as RESP does (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
