"""A graph with fixed scales multiplies int8 by int8 everywhere, scores nearly as before, and is always the same."""

# ruff: noqa: E402  the libraries are imported only where they are installed

from pathlib import Path

import numpy as np
import pytest

from tests.checkpoint_tokenizers import SENTENCES
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

import openvino as ov

from mlapi.bundling.export import export
from mlapi.bundling.quantise import store_static
from mlapi.bundling.static import fix_scales
from mlapi.engines.torch import CONFIG, WEIGHTS, load_model
from mlapi.errors import BundleError
from mlapi.predictions import EncodedText
from mlapi.tokenizing.tokenizer import HfTokenizer

pytestmark = pytest.mark.torch


def texts(folder: Path) -> list[EncodedText]:
    return HfTokenizer.load(folder / "tokenizer.json", 64).encode(SENTENCES)


def graph(folder: Path) -> ov.Model:
    folder.mkdir(exist_ok=True)
    # More words than levels, as any real model has.
    TinyCheckpoint(settings={"vocab_size": 300}).write(folder)
    return export(load_model(folder / CONFIG, folder / WEIGHTS), max_tokens=64, pad_id=0, written_out=True)


def logits(model: ov.Model, encoded: list[EncodedText]) -> np.ndarray:
    # Rounding is computed as the graph says, in fp32: the int8 products of a processor without VNNI saturate.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": False}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    rows = [np.array([text.ids]) for text in encoded]
    return np.concatenate([compiled({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0] for ids in rows])


def weights(model: ov.Model) -> list[ov.Node]:
    found = [node for node in model.get_ops() if node.get_type_name() == "MatMul"]
    sources = [[given.get_node() for given in node.input_values()] for node in found]
    return [node for pair in sources for node in pair if node.get_type_name() in ("Multiply", "Constant")]


def test_every_matrix_is_int8_and_every_input_of_one_is_rounded(tmp_path: Path) -> None:
    model = graph(tmp_path)
    fix_scales(model, texts(tmp_path))
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    matrices = [node for node in constants if len([side for side in node.get_output_shape(0) if side > 1]) == 2]
    assert {node.get_element_type().get_type_name() for node in matrices} == {"i8", "f32"}
    # What stays is the table of positions, which is shorter than the levels of int8 are many.
    assert [list(node.get_output_shape(0)) for node in matrices if node.get_element_type() == ov.Type.f32] == [[64, 32]]
    rounded = [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]
    # Two layers: hidden states, the attention's output, attended states, two halves; then the classifier's two.
    assert len(rounded) >= 2 * 5 + 2


def test_scores_stay_close(tmp_path: Path) -> None:
    model = graph(tmp_path)
    encoded = texts(tmp_path)
    before = logits(model, encoded)
    fix_scales(model, encoded)
    after = logits(model, encoded)
    assert 0 < np.abs(before - after).max() < 0.15 * np.abs(before).max()


def test_the_same_model_and_texts_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        model = graph(tmp_path / name)
        fix_scales(model, texts(tmp_path / name))
        files.append({name: path.read_bytes() for name, path in store_static(model, tmp_path / name).items()})
    assert files[0] == files[1]
    assert set(files[0]) == {"static.xml", "static.bin"}


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    TinyCheckpoint("bert").write(tmp_path)
    with pytest.raises(BundleError, match="fixed scales are made for DistilBERT, not for BertFor"):
        export(load_model(tmp_path / CONFIG, tmp_path / WEIGHTS), max_tokens=64, pad_id=0, written_out=True)
