"""Computes any batch in calls of a few fixed shapes, so that a text meets the same kernels whoever is beside it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from mlapi.engines.base import Logits, TokenIds

Call: TypeAlias = Callable[[TokenIds, TokenIds], Logits]
"""Scores token ids and mask of exactly the shape that it was prepared for; the answer is the caller's to keep."""

_SEED: Final = 1
_SHORTEST: Final = 3


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One shape that is ready to be computed."""

    rows: int
    call: Call


class FixedShapes:
    """Fills a batch up with dummy rows to one of a few numbers of rows for its padded length.

    Libraries of matrix products choose a kernel by the number of rows, and kernels round differently: with one number
    of rows for a length a row's result depends on the row alone. That would make a lone text as expensive as a full
    batch, so smaller numbers are prepared too, and used where they give the same bits as the largest: that is tried out
    when a length is first used, on a full batch of random rows.

    Thread-safe; one call is computed at a time, and only the filling up happens beside it.
    """

    def __init__(self, prepare: Callable[[int, int], Call], *, budgets: Sequence[int], vocabulary: int) -> None:
        """Prepare nothing yet.

        Args:
            prepare: makes the call for so many rows of so many tokens.
            budgets: padded tokens of a call, rising; the last is the most that is computed at once, the others are
                tried as cheaper ones for smaller batches.
            vocabulary: how many token ids there are.
        """
        self._prepare = prepare
        self._budgets = tuple(budgets)
        self._vocabulary = vocabulary
        self._ladders: dict[int, tuple[_Prepared, ...]] = {}
        self._lock = threading.Lock()
        self.invariant = True

    @property
    def rungs(self) -> dict[int, tuple[int, ...]]:
        """The numbers of rows in use, by padded length."""
        return {length: tuple(shape.rows for shape in ladder) for length, ladder in self._ladders.items()}

    def __call__(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Score rows of token ids, shape [texts, padded length]."""
        with self._lock:
            ladder = self._ladders.get(ids.shape[1]) or self._climb(ids.shape[1])
        most = ladder[-1].rows
        parts = [self._compute(ladder, ids[at : at + most], mask[at : at + most]) for at in range(0, len(ids), most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _compute(self, ladder: Sequence[_Prepared], ids: TokenIds, mask: TokenIds) -> Logits:
        texts = len(ids)
        shape = next(shape for shape in ladder if shape.rows >= texts)
        if texts < shape.rows:
            # A dummy row has one real token: a row without any divides by nothing.
            filled = np.zeros((2, shape.rows, ids.shape[1]), dtype=np.int64)
            filled[0, :texts], filled[1, :texts] = ids, mask
            filled[1, texts:, 0] = 1
            ids, mask = filled
        with self._lock:
            return shape.call(ids, mask)[:texts]

    def _climb(self, length: int) -> tuple[_Prepared, ...]:
        """Prepare a length's shapes and keep those that give the largest one's bits."""
        wanted = sorted({max(1, budget // length) for budget in self._budgets})
        largest = _Prepared(wanted[-1], self._prepare(wanted[-1], length))
        ids, mask = self._sample(largest.rows, length)
        expected = largest.call(ids, mask)
        moved = np.roll(largest.call(np.roll(ids, 1, axis=0), np.roll(mask, 1, axis=0)), -1, axis=0)
        self.invariant &= bool(np.array_equal(moved, expected))
        ladder = [largest]
        for rows in reversed(wanted[:-1]):
            shape = _Prepared(rows, self._prepare(rows, length))
            if np.array_equal(shape.call(ids[:rows], mask[:rows]), expected[:rows]):
                ladder.insert(0, shape)
        self._ladders[length] = tuple(ladder)
        return self._ladders[length]

    def _sample(self, rows: int, length: int) -> tuple[TokenIds, TokenIds]:
        """Make random rows, some of them padded."""
        random = np.random.default_rng(_SEED + length)
        real = random.integers(min(_SHORTEST, length), length + 1, size=(rows, 1))
        mask = (np.arange(length) < real).astype(np.int64)
        return random.integers(0, self._vocabulary, size=(rows, length)) * mask, mask
