"""The engine of linear classifiers over words and word pairs: logistic regression on TF-IDF, without scikit-learn."""

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlapi.bundles.store import Bundle
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.errors import BundleError
from mlapi.tokenizing.ngrams import INTERCEPT

IDF: Final = "idf.npy"
WEIGHTS: Final = "weights.npy"

Column: TypeAlias = NDArray[np.float32]
"""One number a term id, shape [1 + terms]; the first one belongs to no term."""

Matrix: TypeAlias = NDArray[np.float32]
"""Shape [outputs, 1 + terms]: a row a label, or for two labels the second one's alone. First the intercept."""

_VERSION: Final = "1"
"""Part of the model digest: changes whenever a logit's last bit could."""

_TWO: Final = 2


class LinearEngine:
    """Scores a text by its term ids (see `mlapi.tokenizing.ngrams`); which of them are padding, it sees by itself.

    A row is computed by itself and every sum is correctly rounded (`math.fsum`), so that neither the order of the terms
    nor the other rows, the processor or the library of numbers can change a bit.
    """

    streams = 1
    batch_tokens = 512
    # Nothing is prepared by a first call. The rate by which requests are admitted is measured on the way, and a single
    # call of microseconds would measure what else the machine does.
    warm_tokens = 512
    quick_tokens = 128
    split_tokens = 512
    batch_invariant = True
    trial_tokens = 0

    def __init__(self, idf: Column, weights: Matrix) -> None:
        self.identity = EngineIdentity("linear", _VERSION, "fp32", "fp64", "any")
        # Lists, because a row has few terms: picking numbers out of an array costs more than adding them up.
        self._idf: list[float] = idf.tolist()
        self._weights: list[list[float]] = weights.tolist()

    @classmethod
    def load(cls, bundle: Bundle, threads: int) -> Self:
        """Read a bundle's arrays; one thread computes, whatever `threads` says.

        Raises:
            BundleError: the bundle holds no such arrays, or arrays that do not fit each other and its labels.
        """
        del threads
        idf, weights = (_read(bundle.file(name)) for name in (IDF, WEIGHTS))
        labels = len(bundle.manifest.labels)
        outputs = labels if labels != _TWO else 1
        if idf.ndim != 1 or not len(idf) or weights.shape != (outputs, len(idf)):
            msg = f"the bundle {bundle.manifest.name} has {IDF} of shape {idf.shape}, {WEIGHTS} of {weights.shape}"
            raise BundleError(msg)
        return cls(idf, weights)

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Score rows of term ids, shape [texts, padded length]; 0, the intercept's id, also fills them up."""
        del mask
        return np.array([self._logits(row) for row in ids.tolist()], dtype=np.float32)

    def contributions(self, row: Sequence[int], label: int) -> tuple[float, dict[int, float]]:
        """Return the intercept of a label's logit, and what each term id adds to it; of two labels, of its log-odds."""
        counts, values, length = self._values(row)
        two = len(self._weights) == 1
        weights = self._weights[0 if two else label]
        sign = -1.0 if two and not label else 1.0
        added = {term: sign * weights[term] * value / length for term, value in zip(counts, values, strict=True)}
        return sign * weights[INTERCEPT], added

    def close(self) -> None:
        """Drop the arrays."""
        self._idf, self._weights = [], []

    def _logits(self, row: Sequence[int]) -> list[float]:
        counts, values, length = self._values(row)
        outputs = [
            weights[INTERCEPT]
            + math.fsum([weights[term] * value for term, value in zip(counts, values, strict=True)]) / length
            for weights in self._weights
        ]
        # Softmax over these is the logistic function of the one output.
        return outputs if len(outputs) > 1 else [0.0, *outputs]

    def _values(self, row: Sequence[int]) -> tuple[Counter[int], list[float], float]:
        """Return a row's terms with their counts, their weighted frequencies, and the length of these as a vector."""
        counts = Counter(row)
        del counts[INTERCEPT]
        idf = self._idf
        values = [idf[term] * _frequency(count) for term, count in counts.items()]
        return counts, values, math.sqrt(math.fsum([value * value for value in values])) or 1.0


@lru_cache(1024)
def _frequency(count: int) -> float:
    """Return 1 + ln(count), correctly rounded, as the logarithms of the C libraries are not."""
    return float(1 + Decimal(count).ln())


def _read(path: Path) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path.name} is not an array: {error}"
        raise BundleError(msg) from error
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype("<f4") or not np.isfinite(array).all():
        msg = f"{path.name} is not an array of finite 32-bit numbers"
        raise BundleError(msg)
    return array
