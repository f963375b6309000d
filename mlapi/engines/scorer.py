"""Lays texts out for an engine, and scores many while the caller waits, in batches of one padded length each."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np

from mlapi.engines.base import TokenIds
from mlapi.predictions import EncodedText

Score: TypeAlias = Callable[[Sequence[EncodedText], int], list[tuple[float, ...]]]
"""Scores texts of one padded length, blocking: `EngineExecutor.score`."""

Map: TypeAlias = Callable[
    [Callable[[tuple[list[int], int]], list[tuple[float, ...]]], list[tuple[list[int], int]]],
    Iterable[list[tuple[float, ...]]],
]
"""Calls a function with each item, as `map` does; possibly with several at a time."""


def pad(texts: Sequence[EncodedText], padded: int, pad_id: int) -> tuple[TokenIds, TokenIds]:
    """Return token ids and attention mask of texts, each filled up to `padded` tokens; shape [texts, padded]."""
    ids = np.full((len(texts), padded), pad_id, dtype=np.int64)
    mask = np.zeros((len(texts), padded), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids)] = text.ids
        mask[row, : len(text.ids)] = 1
    return ids, mask


class Scorer:
    """Forms the batches that the service's batcher would form if all texts came together.

    A batch holds texts of one padded length only, and at most `max_batch_tokens` padded tokens or a single text, so
    that a text's scores are the same bytes here, in the service, alone and among others.
    """

    def __init__(self, score: Score, *, bucket: Callable[[int], int], max_batch_tokens: int, run: Map = map) -> None:
        """Prepare.

        Args:
            score: scores a batch.
            bucket: gives the padded length of a text of so many tokens.
            max_batch_tokens: the most padded tokens in a batch of several texts.
            run: goes through the batches; on the calling thread by default.
        """
        self._score = score
        self._bucket = bucket
        self._max_batch_tokens = max_batch_tokens
        self._run = run

    def logits(self, texts: Sequence[EncodedText]) -> list[tuple[float, ...]]:
        """Return one tuple of logits a text, one logit a label, in order.

        Raises:
            EngineError: the engine failed.
        """
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            places[self._bucket(len(text.ids))].append(place)
        batches: list[tuple[list[int], int]] = []
        for padded, same in places.items():
            rows = max(1, self._max_batch_tokens // padded)
            batches += [(same[first : first + rows], padded) for first in range(0, len(same), rows)]

        def score(batch: tuple[list[int], int]) -> list[tuple[float, ...]]:
            return self._score([texts[place] for place in batch[0]], batch[1])

        found: dict[int, tuple[float, ...]] = {}
        for (same, _), scored in zip(batches, self._run(score, batches), strict=True):
            found.update(zip(same, scored, strict=True))
        return [found[place] for place in range(len(texts))]
