"""The protocol that every inference engine keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

TokenIds: TypeAlias = NDArray[np.int64]
"""Token ids or an attention mask, shape [texts, padded length]."""

Logits: TypeAlias = NDArray[np.float32]
"""Raw scores before the activation, shape [texts, labels]."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Everything about an engine that can change the last bit of a score.

    Attributes:
        name: the engine's name in the registry.
        version: the version of the library that does the arithmetic.
        precision: number format of the weights, such as `int8` or `fp32`.
        arithmetic: what the products of matrices are computed in, such as `bf16` or `int8-static`.
        instruction_set: the processor family that the kernels are chosen for, or the accelerator's name.
    """

    name: str
    version: str
    precision: str
    arithmetic: str
    instruction_set: str


class Engine(Protocol):
    """A loaded model.

    `infer` blocks, is called from worker threads, at most `streams` of them at a time, and must be deterministic.
    """

    @property
    def identity(self) -> EngineIdentity:
        """What computes the scores."""

    @property
    def streams(self) -> int:
        """How many calls to `infer` make progress side by side; at least 1."""

    @property
    def batch_tokens(self) -> int:
        """Padded tokens in one call of `infer` beyond which a token gets no cheaper."""

    @property
    def split_tokens(self) -> int:
        """Padded tokens up to which a call gets hardly shorter if it is divided between two streams that are idle."""

    @property
    def warm_tokens(self) -> int:
        """Padded length up to which a first call takes notably longer than the next: a warm-up runs all of these."""

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's logits are the same bytes alone and among other rows of the same padded length."""

    @property
    def trial_tokens(self) -> int:
        """Where that does not hold: padded tokens up to which it may hold all the same and is worth trying; or 0."""

    @property
    def quick_tokens(self) -> int:
        """Padded tokens that a call computes in less time than it takes to wake a thread and be woken by it; or 0."""

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Score rows of token ids, shape [texts, padded length]; `mask` is 1 for real tokens and 0 for padding."""

    def close(self) -> None:
        """Release the model."""


@runtime_checkable
class AddingEngine(Engine, Protocol):
    """An engine whose logits are sums over the tokens of a text, and which can say of what."""

    def contributions(self, row: Sequence[int], label: int) -> tuple[float, Mapping[int, float]]:
        """Return what a label has before any token, and what each token id adds: of two labels, to its log-odds."""
