"""Both tiers as one store: L1 first, then L2; what L2 holds moves up into L1."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from mlapi.cache.base import SharedStore
from mlapi.cache.l1 import MemoryStore
from mlapi.predictions import Found, Prediction


class TieredStore:
    """L1 in this process and, where there is one, L2.

    A text that moves up starts a new life in L1. That is sound because an entry never becomes wrong, its key covers all
    that could change the answer; ages only decide what is still worth its memory.

    Attributes:
        known: returns what L1 holds if it holds every text; else None, and nothing is counted.
    """

    def __init__(self, memory: MemoryStore, redis: SharedStore | None) -> None:
        """Join the tiers. L1 may be shared with other models, whose digests differ; L2 is closed with this store."""
        self._memory = memory
        self.known = memory.lookup_all
        self._redis = redis

    def look_up(
        self,
        digests: Sequence[bytes],
        deliver: Callable[[Found], None],
        *,
        keep: bool = True,
        in_flight: AbstractSet[bytes] = frozenset(),
    ) -> bool:
        """Look up in both tiers, and call back with what they hold: within bounded time, never synchronously.

        Args:
            digests: the texts.
            deliver: told what was found.
            keep: whether what L2 holds moves up into L1 (a request that says `no-store` says no).
            in_flight: texts that are being computed, so that asking L2 for them is of no use.

        Returns:
            Whether that will happen; if not, L2 is not to be asked now, or for none of these, and nothing was counted.
        """
        redis, memory = self._redis, self._memory
        if redis is None or (in_flight and all(item in in_flight or item in memory for item in digests)):
            return False
        if not redis.may_ask():
            return False
        held = memory.lookup(digests)
        keep = keep and memory.keeps
        if not in_flight and not any(held):

            def all_arrived(found: list[Prediction | None]) -> None:
                if keep:
                    self._keep(digests, found)
                deliver(Found(held, found))

            redis.request(digests, all_arrived)
            return True

        missing = [
            digest for digest, item in zip(digests, held, strict=True) if item is None and digest not in in_flight
        ]

        def arrived(found: list[Prediction | None]) -> None:
            if keep:
                self._keep(missing, found)
            by_digest = dict(zip(missing, found, strict=True))
            others = [
                by_digest.get(digest) if item is None else None for digest, item in zip(digests, held, strict=True)
            ]
            deliver(Found(held, others))

        if missing:
            redis.request(missing, arrived)
        else:
            # L1 has come to hold the last of them since somebody looked.
            asyncio.get_running_loop().call_soon(arrived, [])
        return True

    def held(self, digests: Sequence[bytes]) -> Found:
        """Return what L1 holds, where `look_up` said that L2 is not asked; the rest is counted as skipped there."""
        found = self._memory.lookup(digests)
        if self._redis is not None:
            self._redis.skip(found.count(None))
        return Found(found)

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> AbstractSet[bytes]:
        """Store predictions in L1 now, and in L2 soon.

        Returns:
            The texts that neither tier keeps, as far as is known.

        Raises:
            ValueError: a prediction that must not be stored.
        """
        refused = predictions.keys() if self._redis is None else await self._redis.put_many(predictions)
        return refused & self._memory.put_many(predictions)

    async def close(self) -> None:
        """Close L2."""
        if self._redis is not None:
            await self._redis.close()

    def _keep(self, digests: Sequence[bytes], found: Sequence[Prediction | None]) -> None:
        """Move what L2 holds up into L1."""
        for digest, item in zip(digests, found, strict=True):
            if item is not None:
                self._memory.put(digest, item)
