"""Says how a model's cache is doing, for the health route."""

from dataclasses import dataclass

from mlapi.cache.l2 import RedisServer


@dataclass(frozen=True, slots=True)
class RedisCacheState:
    """What the health route says of the cache."""

    redis: RedisServer | None

    @property
    def status(self) -> str:
        """`disabled` without a Redis, else how it is doing."""
        return "disabled" if self.redis is None else self.redis.state

    @property
    def reason(self) -> str | None:
        """Why Redis is not used as it should be."""
        return None if self.redis is None else self.redis.reason
