"""Runs an engine off the event loop: pads, calls, warms up and verifies batch invariance."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from mlapi.engines.base import Engine, Logits, TokenIds
from mlapi.engines.invariance import compare, may_be_together, on_all_streams, sample, shapes_of_a_start
from mlapi.engines.scorer import pad
from mlapi.errors import EngineError
from mlapi.predictions import EncodedText

_log = logging.getLogger(__name__)

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
        seed: int,
        tidy: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            engine: what computes.
            pad_id: token id that fills a row up to its padded length.
            clock: tells seconds.
            seed: decides which shapes the warm-up checks besides; another one for each start.
            tidy: returns memory that preparing kernels, or much work, has left behind; called from a worker thread when
                a padded length was first computed, and after `settle`.
        """
        self._engine = engine
        self._pad_id = pad_id
        self._clock = clock
        self._seed = seed
        self._tidy = tidy
        self._together_tokens = 0
        self._computed: set[int] = set()
        self._settling: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(engine.streams, thread_name_prefix="engine")
        self._on_all_streams = partial(on_all_streams, engine, self._threads)

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

        The check compares, to the bit, rows computed alone with the same rows among others: see `shapes_of_a_start`.
        Where it fails, texts are computed one by one from then on. Every stream takes part in all of it, at the same
        time as the others.
        Blocks; call it before `run`.

        Args:
            lengths: every padded length, rising.
        """
        # The first call of a stream pays for more than its length.
        self._on_all_streams(*sample((1, lengths[0]), self._pad_id))
        started = self._clock()
        warmed = [length for length in lengths if length <= self._engine.warm_tokens] or lengths[:1]
        for length in warmed:
            self._on_all_streams(*sample((1, length), self._pad_id))
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
        if not may_be_together(self._engine):
            return 0
        checked = shapes_of_a_start(self._engine, lengths, self._seed)
        for shape, invariant in compare(self._engine, checked, self._pad_id, self._on_all_streams):
            if not invariant:
                _log.warning("scores depend on the batch with %d texts of %d padded tokens", *shape)
                return 0
        return sys.maxsize if self._engine.batch_invariant else self._engine.trial_tokens

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
