"""Answers with a model in this process, behind the cache tiers of the service."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from mlapi.cache.keys import KeyMaker
from mlapi.cache.l1 import MemoryStore
from mlapi.cache.shared_redis import open_nodes, open_server, open_store
from mlapi.classifier import Classifier
from mlapi.errors import ConfigurationError, EngineError
from mlapi.observability.metrics import Metrics
from mlapi.offline.base import Answered, OfflineError, Ranking, Refused
from mlapi.predictions import Prediction
from mlapi.redis_nodes.address import RedisTarget

EMPTY: Final = Refused("empty_text", "the text holds nothing that the model can read")

_LOOK_UP_S: Final = 2.0
"""Nobody waits for a single answer, and a window has thousands of keys."""

_PENDING: Final = 65_536

_HARMLESS: Final = "a word"
"""A text that breaks no model."""


class SharedTier:
    """Redis, asked and told by a program that has no event loop. It fails open, as in the service."""

    def __init__(self, target: RedisTarget, classifier: Classifier, *, ttl_s: float) -> None:
        """Prepare; Redis is first needed by the first look-up.

        Raises:
            OfflineError: a file that lets us into Redis cannot be used.
        """
        self._loop = asyncio.Runner()
        clock, draw = time.monotonic, random.random
        metrics = Metrics()
        try:
            self._nodes = open_nodes(target, metrics, models=1, timeout_s=_LOOK_UP_S, clock=clock, jitter=draw)
        except ConfigurationError as error:
            raise OfflineError(error.detail) from error
        self._store = open_store(
            open_server(self._nodes, metrics, clock=clock, jitter=draw),
            classifier.digest,
            classifier.postprocessor,
            metrics=metrics,
            ttl_s=ttl_s,
            timeout_s=_LOOK_UP_S,
            clock=clock,
            jitter=draw,
            max_pending_writes=_PENDING,
        )

    def look_up(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what is stored, in order; None where nothing is, or Redis does not answer."""
        return self._loop.run(self._look_up(digests))

    def store(self, predictions: dict[bytes, Prediction]) -> None:
        """Store predictions; returns when that is done, or has failed."""
        self._loop.run(self._put(predictions))

    def close(self) -> None:
        """Close the connections."""
        self._loop.run(self._close())
        self._loop.close()

    async def _look_up(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        if not self._store.may_ask():
            return [None] * len(digests)
        found: asyncio.Future[list[Prediction | None]] = asyncio.get_running_loop().create_future()

        def deliver(result: list[Prediction | None]) -> None:
            if not found.done():
                found.set_result(result)

        self._store.request(digests, deliver)
        return await found

    async def _put(self, predictions: dict[bytes, Prediction]) -> None:
        await self._store.put_many(predictions)
        await self._store.flush()

    async def _close(self) -> None:
        await self._store.close()
        await self._nodes.close()


def memory_tier(max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> MemoryStore:
    """Return the tier in this process."""
    return MemoryStore(max_bytes=max_bytes, ttl_s=ttl_s, clock=clock, jitter=random.random, metrics=Metrics())


class LocalAnswerer:
    """A model and its caches; texts that the model cannot tell apart are computed once.

    Attributes:
        digest: the model digest.
        unique: how many distinct texts were asked for, each counted once a window.
        cached: how many of those a cache held.
    """

    def __init__(self, classifier: Classifier, memory: MemoryStore, shared: SharedTier | None) -> None:
        """Take over the model and the tiers."""
        self.digest = classifier.digest
        self.unique = 0
        self.cached = 0
        self._classifier = classifier
        self._memory = memory
        self._shared = shared
        self._digests = KeyMaker(classifier.digest).digest_many

    def answer(self, texts: Sequence[str]) -> list[Answered]:
        """Answer texts in order.

        Raises:
            OfflineError: the engine fails whatever the text.
        """
        if not texts:
            return []
        forms = self._classifier.canonical_forms(texts)
        digests = self._digests(forms)
        readable = {digest: text for digest, text, form in zip(digests, texts, forms, strict=True) if form}
        answers: dict[bytes, Answered] = {
            digest: self._rank(prediction) if isinstance(prediction, Prediction) else prediction
            for digest, prediction in self._predictions(readable).items()
        }
        return [answers.get(digest, EMPTY) for digest in digests]

    def close(self) -> None:
        """Release the model and the connections."""
        if self._shared is not None:
            self._shared.close()
        self._classifier.close()

    def _predictions(self, texts: dict[bytes, str]) -> dict[bytes, Prediction | Refused]:
        digests = list(texts)
        found: dict[bytes, Prediction | Refused] = {**_found(digests, self._memory.lookup(digests))}
        missing = [digest for digest in digests if digest not in found]
        if missing and self._shared is not None:
            further = _found(missing, self._shared.look_up(missing))
            self._keep(further)
            found |= further
            missing = [digest for digest in missing if digest not in found]
        self.unique += len(digests)
        self.cached += len(found)
        if missing:
            computed = self._compute([texts[digest] for digest in missing])
            new = {digest: item for digest, item in zip(missing, computed, strict=True) if isinstance(item, Prediction)}
            self._keep(new)
            if self._shared is not None and new:
                self._shared.store(new)
            found |= zip(missing, computed, strict=True)
        return found

    def _keep(self, predictions: dict[bytes, Prediction]) -> None:
        self._memory.put_many(predictions)

    def _compute(self, texts: Sequence[str]) -> list[Prediction | Refused]:
        """Compute; where that fails, each text alone, so that one that breaks the model breaks no other."""
        try:
            return [*self._classifier.compute(texts)]
        except EngineError as error:
            failure = error
        computed: list[Prediction | Refused] = []
        for text in texts:
            try:
                computed += self._classifier.compute([text])
            except EngineError as error:
                computed.append(Refused(error.code, error.detail))
        if not any(isinstance(item, Prediction) for item in computed):
            self._check(failure)
        return computed

    def _check(self, failure: EngineError) -> None:
        """Tell texts that break the model from a model that is broken: that is no reason to refuse texts."""
        try:
            self._classifier.compute([_HARMLESS])
        except EngineError:
            msg = f"{failure.detail}, whatever the text"
            raise OfflineError(msg) from failure

    def _rank(self, prediction: Prediction) -> Ranking:
        scores = self._classifier.postprocessor.scores(prediction.logits)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        labels = self._classifier.labels
        return Ranking(
            tuple(labels[index] for index in order), tuple(scores[index] for index in order), prediction.truncated
        )


def _found(digests: Sequence[bytes], predictions: Sequence[Prediction | None]) -> dict[bytes, Prediction]:
    return {digest: item for digest, item in zip(digests, predictions, strict=True) if item is not None}
