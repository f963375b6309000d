"""An engine without a model, for tests: logits are a fixed function of the token ids."""

from typing import Self

import numpy as np

from mlapi.bundles.store import Bundle
from mlapi.engines.base import EngineIdentity, Logits, TokenIds


class FakeEngine:
    """Scores a text by its token ids alone, in microseconds; exactly batch-invariant."""

    batch_invariant = True
    trial_tokens = 0
    batch_tokens = 1024
    split_tokens = 1024
    warm_tokens = 128
    quick_tokens = 0

    def __init__(self, labels: int, streams: int = 1) -> None:
        self.identity = EngineIdentity("fake", "1", "fp32", "fp32", "any")
        self.streams = streams
        self._labels = labels

    @classmethod
    def load(cls, bundle: Bundle, threads: int) -> Self:
        """Take the number of labels from a bundle of any engine; its weights are not read."""
        return cls(len(bundle.manifest.labels), streams=threads)

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Sum the ids, weighted by their position, into as many buckets as there are labels."""
        positions = np.arange(1, ids.shape[1] + 1, dtype=np.int64)
        sums = (ids * mask * positions).sum(axis=1)
        return np.stack([(sums * (label + 7)) % 101 / 25.0 for label in range(self._labels)], axis=1).astype(np.float32)

    def close(self) -> None:
        """Nothing is held."""
