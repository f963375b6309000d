"""The benchmark's full-size model has DistilBERT-base's shapes and gives every text the shipped model's logits."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from benchmarks.model import INNER, LAYERS, WIDTH, widened
from benchmarks.widening import read_weights, widen
from mlapi.engines.openvino import GRAPH
from mlapi.settings import DEFAULT_BUNDLE
from tests.engine_checkpoints import need_pipeline

ROUNDING = 2e-5
"""How far logits of the two may be apart: they add up the same numbers in another order."""

LENGTHS = (3, 17, 250)


def texts() -> list[NDArray[np.int64]]:
    random = np.random.default_rng(66)
    return [random.integers(1_000, 30_000, (1, length), dtype=np.int64) for length in LENGTHS]


def shipped(texts: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Compute with the shipped bundle's weights as they are stored, and with nothing rounded besides."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    core = ov.Core()
    compiled = core.compile_model(core.read_model(DEFAULT_BUNDLE / GRAPH), "CPU", settings)
    return [np.array(compiled({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]) for ids in texts]


def test_all_weights_are_read_and_each_is_twice_as_wide_as_the_shipped_models() -> None:
    weights = read_weights(DEFAULT_BUNDLE)
    wide = widen(weights)
    assert len(wide) == 4 + 16 * LAYERS + 4
    layer = "distilbert.transformer.layer.5."
    assert wide[f"{layer}attention.q_lin.weight"].shape == (WIDTH, WIDTH)
    assert wide[f"{layer}ffn.lin1.weight"].shape == (INNER, WIDTH)
    words = "distilbert.embeddings.word_embeddings.weight"
    assert wide[words].shape == (len(weights[words]), WIDTH)
    assert wide["classifier.weight"].shape == (2, WIDTH)
    assert all(values.dtype == np.float32 for values in wide.values())


@pytest.mark.torch
def test_the_widened_model_gives_every_text_the_shipped_models_logits() -> None:
    need_pipeline()
    import torch  # noqa: PLC0415  only where it is installed

    model = widened()
    with torch.inference_mode():
        wide = [model(input_ids=torch.from_numpy(ids)).logits.numpy() for ids in texts()]
    assert max(np.abs(ours - its).max() for ours, its in zip(wide, shipped(texts()), strict=True)) < ROUNDING
