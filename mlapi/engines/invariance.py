"""Compares, to the bit, what an engine says of texts alone with what it says of them together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from random import Random
from threading import Barrier
from typing import Final, TypeAlias

import numpy as np

from mlapi.engines.base import Engine, Logits, TokenIds

Shape: TypeAlias = tuple[int, int]
"""Texts of a batch, and the length to which they are padded."""

Together: TypeAlias = Callable[[TokenIds, TokenIds], Sequence[Logits]]
"""Scores the same batch on each of an engine's streams."""

_PADDINGS: Final = 8

_CHECK_TOKENS: Final = 256
"""Padded tokens of the shortest texts that each start checks: half of what a batch holds by default."""

_FEW_ROWS: Final = (3, 5, 9, 17)
"""Rows of the shortest length that are checked besides: kernels are chosen by powers of two of rows, if by any."""

_DRAWN_TOKENS: Final = 512
"""Besides batches of the shortest texts, a start checks one batch of any other shape of at most 512 padded tokens."""


def shapes(lengths: Sequence[int], tokens: int) -> list[Shape]:
    """Return every shape of at least two texts that a batch of so many padded tokens may have."""
    return [(rows, length) for length in lengths for rows in range(2, tokens // length + 1)]


def may_be_together(engine: Engine) -> int:
    """Return the padded tokens up to which an engine claims, or hopes, to keep its bits; 0 if it does not."""
    return engine.batch_tokens if engine.batch_invariant else engine.trial_tokens


def shapes_of_a_start(engine: Engine, lengths: Sequence[int], seed: int) -> list[Shape]:
    """Return what a start checks: what is likely to differ, and one of all other shapes, another one each time.

    For an engine that claims batch invariance these are several numbers of the shortest texts, and a shape drawn from
    all that there are. For one that may have it up to some `trial_tokens`, the longest batch of the shortest texts
    alone: its batch goes from the least rows to the most, and such processors are slow.
    """
    shortest = lengths[0]
    if not engine.batch_invariant:
        return [(max(2, engine.trial_tokens // shortest), shortest)]
    certain = [(rows, shortest) for rows in (max(2, _CHECK_TOKENS // shortest), *_FEW_ROWS)]
    others = [shape for shape in shapes(lengths, min(engine.batch_tokens, _DRAWN_TOKENS)) if shape not in certain]
    return [*certain, *Random(seed).sample(others, min(1, len(others)))]  # noqa: S311  spreads checks over starts


def compare(engine: Engine, checked: Iterable[Shape], pad_id: int, together: Together) -> Iterator[tuple[Shape, bool]]:
    """Yield each shape, and whether some rows of such a batch get the same bits alone, and together on every stream.

    A row is computed alone once: it is the same in all batches of its length.
    """
    alone: dict[Shape, Logits] = {}
    for rows, length in checked:
        ids, mask = sample((rows, length), pad_id)
        picked = sorted({0, rows // 2, rows - 1})
        for row in picked:
            if (row, length) not in alone:
                alone[row, length] = engine.infer(ids[row : row + 1], mask[row : row + 1])
        expected = np.concatenate([alone[row, length] for row in picked])
        yield (rows, length), all(np.array_equal(logits[picked], expected) for logits in together(ids, mask))


def scan(engine: Engine, lengths: Sequence[int], pad_id: int) -> Iterator[tuple[Shape, bool]]:
    """Yield every shape that a service would compute on this machine, and whether its texts keep their bits in it."""
    with ThreadPoolExecutor(engine.streams) as threads:
        together = partial(on_all_streams, engine, threads)
        yield from compare(engine, shapes(lengths, may_be_together(engine)), pad_id, together)


def on_all_streams(engine: Engine, threads: Executor, ids: TokenIds, mask: TokenIds) -> list[Logits]:
    """Run the same rows on every stream at the same time; there are as many threads as streams."""
    barrier = Barrier(engine.streams)

    def infer() -> Logits:
        barrier.wait()
        return engine.infer(ids, mask)

    running = [threads.submit(infer) for _ in range(engine.streams)]
    return [each.result() for each in running]


def sample(shape: Shape, pad_id: int) -> tuple[TokenIds, TokenIds]:
    """Make rows of small token ids that differ from row to row, as does their padding."""
    rows, length = shape
    ids = np.full((rows, length), pad_id, dtype=np.int64)
    mask = np.zeros((rows, length), dtype=np.int64)
    for row in range(rows):
        real = max(1, length - row % _PADDINGS)
        ids[row, :real] = (np.arange(real) + row) % 7
        mask[row, :real] = 1
    return ids, mask
