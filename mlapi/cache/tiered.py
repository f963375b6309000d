"""Both tiers as one store: L1 first, then L2; what L2 holds moves up into L1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlapi.cache.base import SharedStore
from mlapi.cache.memory import MemoryStore
from mlapi.predictions import Findings, Prediction, Source


@dataclass(frozen=True, slots=True)
class Hit:
    """A prediction that was stored, and the tier that held it."""

    prediction: Prediction
    source: Source


class TieredStore:
    """L1 in this process and, where there is one, L2.

    A text that moves up starts a new life in L1. That is sound because an entry never becomes wrong, its key covers all
    that could change the answer; ages only decide what is still worth its memory.
    """

    def __init__(self, memory: MemoryStore, redis: SharedStore | None) -> None:
        """Join the tiers; both are closed with this store."""
        self._memory = memory
        self._redis = redis

    @property
    def keeps(self) -> bool:
        """Whether there is a tier that keeps anything."""
        return self._redis is not None or self._memory.keeps

    def peek(self, digest: bytes) -> Prediction | None:
        """Return what L1 holds for one text, without waiting."""
        return self._memory.get(digest)

    def peek_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what L1 holds, in the order asked for, without waiting."""
        return self._memory.lookup(digests)

    def peek_all(self, digests: Sequence[bytes]) -> list[Prediction] | None:
        """Return what L1 holds if it holds every text; else None, and nothing is counted."""
        return self._memory.lookup_all(digests)

    def request(self, digests: Sequence[bytes], deliver: Callable[[Findings], None]) -> bool:
        """Look up in both tiers without a task: call back with what they hold, soon but not at once.

        Returns:
            Whether that will happen; if not, L2 is not to be asked now, and nothing was counted.
        """
        redis = self._redis
        if redis is None or not redis.may_ask():
            return False
        held = self.peek_many(digests)
        missing = [digest for digest, item in zip(digests, held, strict=True) if item is None] if any(held) else digests

        def arrived(found: list[Prediction | None]) -> None:
            for digest, item in zip(missing, found, strict=True):
                if item is not None:
                    self._memory.put(digest, item)
            if missing is not digests:
                rest = iter(found)
                found = [next(rest) if item is None else None for item in held]
            deliver(Findings(held, found))

        redis.request(missing, arrived)
        return True

    async def fetch_many(self, digests: Sequence[bytes], *, store: bool = True) -> list[Prediction | None]:
        """Return what L2 holds, in the order asked for: for the texts that `peek` did not find.

        With `store` false (a request that says `no-store`) nothing moves up into L1.
        """
        if self._redis is None or not digests:
            return [None] * len(digests)
        found = await self._redis.get_many(digests)
        if store:
            for digest, prediction in zip(digests, found, strict=True):
                if prediction is not None:
                    self._memory.put(digest, prediction)
        return found

    async def lookup_many(self, digests: Sequence[bytes], *, store: bool = True) -> list[Hit | None]:
        """Return what either tier holds and which one did, in the order asked for; `store` as in `fetch_many`."""
        held = self.peek_many(digests)
        hits = [None if prediction is None else Hit(prediction, Source.L1) for prediction in held]
        missing = [index for index, hit in enumerate(hits) if hit is None]
        found = await self.fetch_many([digests[index] for index in missing], store=store)
        for index, prediction in zip(missing, found, strict=True):
            if prediction is not None:
                hits[index] = Hit(prediction, Source.L2)
        return hits

    async def get_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what either tier holds, in the order asked for."""
        return [None if hit is None else hit.prediction for hit in await self.lookup_many(digests)]

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Store predictions in L1 now, and in L2 soon.

        Raises:
            ValueError: a prediction that must not be stored.
        """
        if self._redis is not None:
            await self._redis.put_many(predictions)
        await self._memory.put_many(predictions)

    async def close(self) -> None:
        """Close both tiers."""
        if self._redis is not None:
            await self._redis.close()
        await self._memory.close()
