"""Batches are filled up to fixed shapes, and only shapes that agree to the bit are used."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.fixed_shapes import Call, FixedShapes


@dataclass
class Device:
    """Scores a row by its ids; kernels for some numbers of rows round differently, one even depends on the place."""

    rounds_differently: set[int] = field(default_factory=set)
    depends_on_place: bool = False
    prepared: list[tuple[int, int]] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)

    def prepare(self, rows: int, length: int) -> Call:
        self.prepared.append((rows, length))

        def call(ids: TokenIds, mask: TokenIds) -> Logits:
            assert ids.shape == mask.shape == (rows, length)
            assert mask.any(axis=1).all()
            self.calls.append((rows, length))
            scores = (ids * mask).sum(axis=1, keepdims=True) * np.float32(0.1)
            scores = scores + np.float32(1e-6) * (rows in self.rounds_differently)
            if self.depends_on_place:
                scores = scores + np.arange(rows)[:, None]
            return np.concatenate([scores, -scores], axis=1).astype(np.float32)

        return call

    def shapes(self, *budgets: int) -> FixedShapes:
        return FixedShapes(self.prepare, budgets=budgets, vocabulary=50)


def batch(rows: int, length: int = 8) -> tuple[TokenIds, TokenIds]:
    ids = np.random.default_rng(rows).integers(1, 50, size=(rows, length))
    return ids, np.ones_like(ids)


def used(device: Device, shapes: FixedShapes, rows: int) -> list[int]:
    shapes(*batch(1))
    device.calls.clear()
    logits = shapes(*batch(rows))
    assert np.allclose(logits[:, 0], batch(rows)[0].sum(axis=1) * 0.1)
    return [rows for rows, _ in device.calls]


@pytest.mark.parametrize(("rows", "expected"), [(1, [2]), (2, [2]), (3, [8]), (8, [8]), (9, [8, 2]), (20, [8, 8, 8])])
def test_the_smallest_shape_that_holds_a_batch_is_computed_and_more_than_one_where_none_does(
    rows: int, expected: list[int]
) -> None:
    device = Device()
    assert used(device, device.shapes(16, 64), rows) == expected


def test_a_smaller_shape_that_gives_other_bits_is_not_used() -> None:
    device = Device(rounds_differently={2})
    shapes = device.shapes(16, 32, 64)
    assert used(device, shapes, 1) == [4]
    assert shapes.rungs == {8: (4, 8)}
    assert shapes.invariant


def test_scores_that_depend_on_the_place_in_the_batch_are_noticed() -> None:
    device = Device(depends_on_place=True)
    shapes = device.shapes(64)
    shapes(*batch(1))
    assert not shapes.invariant


def test_each_length_is_prepared_once_and_long_texts_are_computed_one_by_one() -> None:
    device = Device()
    shapes = device.shapes(16, 64)
    for length in (8, 64, 100, 8, 64, 100):
        shapes(*batch(2, length))
    assert device.prepared == [(8, 8), (2, 8), (1, 64), (1, 100)]


def test_the_arguments_are_left_alone() -> None:
    device = Device()
    ids, mask = batch(3)
    before = ids.copy()
    device.shapes(16, 64)(ids, mask)
    assert (ids == before).all()
    assert mask.all()


def test_threads_do_not_disturb_each_other() -> None:
    shapes = Device().shapes(16, 64)
    batches = [batch(rows, length) for rows in range(1, 9) for length in (8, 16, 24)]
    expected = [Device().shapes(16, 64)(*item).tobytes() for item in batches]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda item: shapes(*item).tobytes(), batches)) == expected
