"""Runs an engine off the event loop: pads, calls, warms up and verifies batch invariance."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from mlapi.engines.base import Engine, Logits, TokenIds
from mlapi.engines.scorer import pad
from mlapi.errors import EngineError
from mlapi.predictions import EncodedText

_log = logging.getLogger(__name__)

_CHECK_TOKENS: Final = 256
"""Padded tokens of a batch of the invariance check: half of what a batch holds by default, so that a start does not
wait long for what the test suite proves at length."""

_FEW_ROWS: Final = (3, 5, 9, 17)
"""Rows of the shortest length that are checked besides: kernels are chosen by powers of two of rows, if by any."""

_PADDINGS: Final = 8

_SETTLE_S: Final = 1.0
"""So long after the last batch, answers are sent and what they were made of is freed."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What the warm-up found out.

    Attributes:
        together_tokens: padded tokens up to which texts may be computed together on this machine; 0: one by one.
        tokens_per_second: padded tokens through one stream while the others are busy as well, one text at a time.
    """

    together_tokens: int
    tokens_per_second: float


class EngineExecutor:
    """One engine with as many worker threads as it has streams."""

    def __init__(
        self,
        engine: Engine,
        *,
        pad_id: int,
        clock: Callable[[], float],
        tidy: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            engine: what computes.
            pad_id: token id that fills a row up to its padded length.
            clock: tells seconds.
            tidy: returns memory that preparing kernels, or much work, has left behind; called from a worker thread when
                a padded length was first computed, and after `settle`.
        """
        self._engine = engine
        self._pad_id = pad_id
        self._clock = clock
        self._tidy = tidy
        self._together_tokens = 0
        self._computed: set[int] = set()
        self._settling: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(engine.streams, thread_name_prefix="engine")

    async def run(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        """Score texts of one padded length; one tuple of logits a text, one logit a label.

        On the event loop where the engine is so quick that a thread would only make it slower.

        Raises:
            EngineError: the engine failed, or answered with another number of rows.
        """
        if padded * len(texts) > self._engine.quick_tokens:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.score, texts, padded)
        logits = self.score(texts, padded)
        # Others have their turn between two runs of a long queue.
        await asyncio.sleep(0)
        return logits

    def score(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        """Score texts of one padded length, blocking; else as `run`."""
        logits = self._infer(*pad(texts, padded, self._pad_id))
        if padded not in self._computed:
            self._computed.add(padded)
            self._tidy()
        if logits.ndim != 2 or logits.shape[0] != len(texts):  # noqa: PLR2004  rows and labels
            msg = "the engine answered with a wrong number of rows"
            raise EngineError(msg)
        if not np.isfinite(logits).all():
            msg = "the model answered with a number that is not finite"
            raise EngineError(msg)
        return [tuple(row) for row in logits.tolist()]

    def settle(self) -> None:
        """Return memory in a second, when what the last batch's answers were made of is freed, too."""
        if self._settling:
            self._settling.cancel()
        loop = asyncio.get_running_loop()
        self._settling = loop.call_later(_SETTLE_S, self._threads.submit, self._tidy)

    def warm_up(self, lengths: Sequence[int]) -> WarmUp:
        """Run the lengths that need it, so that nothing slow is left for traffic, and check batch invariance.

        Those are the lengths up to the engine's `warm_tokens`, and the shortest one in any case.

        The check compares, to the bit, rows computed alone with the same rows among others: for an engine that claims
        batch invariance at the shortest length, there in batches of several sizes, the longest of which its batch holds
        two, and one between. For one that may have it up to some `trial_tokens`, at the shortest length alone, because
        its batch then goes from the least rows to the most, and such processors are slow. Where it fails, texts are
        computed one by one from then on. Every stream takes part in all of it, at the same time as the others.
        Blocks; call it before `run`.

        Args:
            lengths: every padded length, rising.
        """
        # The first call of a stream pays for more than its length.
        self._on_all_streams(*self._sample(1, lengths[0]))
        started = self._clock()
        warmed = [length for length in lengths if length <= self._engine.warm_tokens] or lengths[:1]
        for length in warmed:
            self._on_all_streams(*self._sample(1, length))
        seconds = self._clock() - started
        self._together_tokens = self._check(lengths)
        if not self._together_tokens:
            _log.warning("texts are computed one by one: the engine's scores depend on the other texts of a batch")
        self._computed.update(warmed)
        self._tidy()
        return WarmUp(self._together_tokens, sum(warmed) / max(seconds, 1e-9))

    def close(self) -> None:
        """Wait for the calls in progress and release the engine."""
        if self._settling:
            self._settling.cancel()
        self._threads.shutdown(cancel_futures=True)
        self._engine.close()

    def _check(self, lengths: Sequence[int]) -> int:
        """Return the padded tokens up to which texts may be computed together; 0 if none may."""
        if self._engine.batch_invariant:
            paired = [length for length in lengths if 2 * length <= _CHECK_TOKENS] or lengths[:1]
            checked = sorted({paired[0], paired[len(paired) // 2], paired[-1]})
            shapes = [(max(2, _CHECK_TOKENS // length), length) for length in checked]
            shapes += [(rows, lengths[0]) for rows in _FEW_ROWS]
            return sys.maxsize if all(self._is_invariant(*shape) for shape in shapes) else 0
        tokens = self._engine.trial_tokens
        return tokens if tokens and self._is_invariant(max(2, tokens // lengths[0]), lengths[0]) else 0

    def _is_invariant(self, rows: int, length: int) -> bool:
        """Compare rows alone with the same rows together, on every stream."""
        ids, mask = self._sample(rows, length)
        picked = sorted({0, rows // 2, rows - 1})
        alone = np.concatenate([self._engine.infer(ids[row : row + 1], mask[row : row + 1]) for row in picked])
        return all(np.array_equal(together[picked], alone) for together in self._on_all_streams(ids, mask))

    def _on_all_streams(self, ids: TokenIds, mask: TokenIds) -> list[Logits]:
        """Run the same rows on every stream at the same time."""
        together = threading.Barrier(self._engine.streams)

        def infer() -> Logits:
            together.wait()
            return self._engine.infer(ids, mask)

        running = [self._threads.submit(infer) for _ in range(self._engine.streams)]
        return [each.result() for each in running]

    def _sample(self, rows: int, length: int) -> tuple[TokenIds, TokenIds]:
        """Make rows of small token ids that differ from row to row, as does their padding."""
        ids = np.full((rows, length), self._pad_id, dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        for row in range(rows):
            real = max(1, length - row % _PADDINGS)
            ids[row, :real] = (np.arange(real) + row) % 7
            mask[row, :real] = 1
        return ids, mask

    def _infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        try:
            rows = max(1, self._together_tokens // ids.shape[1])
            parts = [
                self._engine.infer(ids[first : first + rows], mask[first : first + rows])
                for first in range(0, len(ids), rows)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        except EngineError:
            raise
        except Exception as error:
            msg = "the engine failed"
            raise EngineError(msg) from error
