"""Runs an engine off the event loop: pads, calls, applies the activation, warms up and verifies batch invariance."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from mlapi.engines.activation import probabilities
from mlapi.engines.base import Engine, Logits, TokenIds
from mlapi.errors import EngineError
from mlapi.predictions import EncodedText

_log = logging.getLogger(__name__)

_CHECK_TOKENS: Final = 256
"""Padded tokens of a batch of the invariance check: half of what a batch holds by default, so that a start does not
wait long for what the test suite proves at length."""


_PADDINGS: Final = 8


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What the warm-up found out.

    Attributes:
        batch_invariant: whether texts may be computed together on this machine.
        tokens_per_second: padded tokens through one stream, one text at a time, as measured while warming up.
    """

    batch_invariant: bool
    tokens_per_second: float


class EngineExecutor:
    """One engine with as many worker threads as it has streams."""

    def __init__(
        self,
        engine: Engine,
        *,
        pad_id: int,
        activation: Literal["softmax", "sigmoid"],
        clock: Callable[[], float],
    ) -> None:
        """Prepare; `clock` tells seconds."""
        self._engine = engine
        self._pad_id = pad_id
        self._activation = activation
        self._clock = clock
        self._together = False
        self._threads = ThreadPoolExecutor(engine.streams, thread_name_prefix="engine")

    async def run(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        """Score texts of one padded length; one tuple of probabilities a text.

        Raises:
            EngineError: the engine failed, or answered with something that is not a probability.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._score, texts, padded)

    def warm_up(self, lengths: Sequence[int]) -> WarmUp:
        """Run the lengths that need it, so that nothing slow is left for traffic, and check batch invariance.

        Those are the lengths up to the engine's `warm_tokens`, and the shortest one in any case.

        The check compares, to the bit, rows computed alone with the same rows among others, for the shortest length,
        the longest of which its batch holds two, and one between. Where it fails, texts are computed one by one from
        then on. Blocks; call it before `run`.

        Args:
            lengths: every padded length, rising.
        """
        # The first call of all pays for more than its length.
        self._engine.infer(*self._sample(1, lengths[0]))
        started = self._clock()
        warmed = [length for length in lengths if length <= self._engine.warm_tokens] or lengths[:1]
        for length in warmed:
            self._engine.infer(*self._sample(1, length))
        seconds = self._clock() - started
        paired = [length for length in lengths if 2 * length <= _CHECK_TOKENS] or lengths[:1]
        checked = sorted({paired[0], paired[len(paired) // 2], paired[-1]})
        self._together = self._engine.batch_invariant and all(map(self._is_invariant, checked))
        if not self._together:
            _log.warning("texts are computed one by one: the engine's scores depend on the other texts of a batch")
        return WarmUp(self._together, sum(warmed) / max(seconds, 1e-9))

    def close(self) -> None:
        """Wait for the calls in progress and release the engine."""
        self._threads.shutdown(cancel_futures=True)
        self._engine.close()

    def _is_invariant(self, length: int) -> bool:
        rows = max(2, _CHECK_TOKENS // length)
        ids, mask = self._sample(rows, length)
        together = self._engine.infer(ids, mask)
        picked = sorted({0, 1, rows // 2, rows - 1})
        alone = [self._engine.infer(ids[row : row + 1], mask[row : row + 1]) for row in picked]
        return np.array_equal(together[picked], np.concatenate(alone))

    def _sample(self, rows: int, length: int) -> tuple[TokenIds, TokenIds]:
        """Make rows of small token ids that differ from row to row, as does their padding."""
        ids = np.full((rows, length), self._pad_id, dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        for row in range(rows):
            real = max(1, length - row % _PADDINGS)
            ids[row, :real] = (np.arange(real) + row) % 7
            mask[row, :real] = 1
        return ids, mask

    def _score(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        ids = np.full((len(texts), padded), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), padded), dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        logits = self._infer(ids, mask)
        if logits.ndim != 2 or logits.shape[0] != len(texts):  # noqa: PLR2004  rows and labels
            msg = "the engine answered with a wrong number of rows"
            raise EngineError(msg)
        return [probabilities(row, self._activation) for row in logits.tolist()]

    def _infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        try:
            if self._together or len(ids) == 1:
                return self._engine.infer(ids, mask)
            rows = range(len(ids))
            return np.concatenate([self._engine.infer(ids[row : row + 1], mask[row : row + 1]) for row in rows])
        except EngineError:
            raise
        except Exception as error:
            msg = "the engine failed"
            raise EngineError(msg) from error
