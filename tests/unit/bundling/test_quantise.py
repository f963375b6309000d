"""A graph is stored in the ordered precision, without loss where it promises none, and always in the same bytes."""

# ruff: noqa: E402  the libraries are imported only where they are installed

from pathlib import Path

import numpy as np
import pytest

from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

import openvino as ov
import torch
from openvino import opset15

from mlapi.bundling.export import export
from mlapi.bundling.quantise import store
from mlapi.engines.torch import CONFIG, WEIGHTS, load_model
from mlapi.errors import BundleError

pytestmark = pytest.mark.torch


def stored(folder: Path, precision: str, *, half: bool = False, **settings: int) -> dict[str, Path]:
    """Store the tiny model's graph below `folder`; with `half`, of weights that fp16 holds exactly."""
    checkpoint, output = folder / "checkpoint", folder / precision
    checkpoint.mkdir(exist_ok=True)
    output.mkdir()
    TinyCheckpoint(settings=settings).write(checkpoint)
    model = load_model(checkpoint / CONFIG, checkpoint / WEIGHTS)
    if half:
        model.half().float()
    return store(export(model, max_tokens=64, pad_id=0), precision, output)


def constants(graph: Path) -> dict[str, int]:
    """How many numbers a graph stores of each type."""
    sizes: dict[str, int] = {}
    for node in ov.Core().read_model(graph).get_ops():
        if node.get_type_name() == "Constant":
            kind = node.get_element_type().get_type_name()
            sizes[kind] = sizes.get(kind, 0) + node.data.size
    return sizes


def logits(graph: Path) -> np.ndarray:
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ids = np.arange(5, 53, dtype=np.int64).reshape(3, 16)
    result: np.ndarray = compiled({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    return result


def test_int8_keeps_no_matrix_in_floating_point(tmp_path: Path) -> None:
    sizes = constants(stored(tmp_path, "int8")["model.xml"])
    with torch.inference_mode():
        model = load_model(tmp_path / "checkpoint" / CONFIG, tmp_path / "checkpoint" / WEIGHTS)
    matrices = sum(weights.numel() for weights in model.parameters() if weights.ndim == 2)
    assert sizes["i8"] == matrices
    assert "f32" not in sizes
    assert sizes["f16"] < matrices / 5


def test_int8_takes_no_distances_of_deberta_for_weights(tmp_path: Path) -> None:
    TinyCheckpoint("deberta-v2").write(tmp_path)
    graph = export(load_model(tmp_path / CONFIG, tmp_path / WEIGHTS), max_tokens=64, pad_id=0)
    stored_graph = ov.Core().read_model(store(graph, "int8", tmp_path)["model.xml"])
    constants = [node for node in stored_graph.get_ops() if node.get_type_name() == "Constant"]
    int8 = [len(node.get_output_shape(0)) for node in constants if node.get_element_type() == ov.Type.i8]
    # Two layers of six products, the head's two and the tokens' embeddings; distances have a dimension for heads.
    assert int8 == [2] * (2 * 6 + 2 + 1)


def test_int8_stays_close_to_fp32(tmp_path: Path) -> None:
    fp32, int8 = (logits(stored(tmp_path, precision)["model.xml"]) for precision in ("fp32", "int8"))
    assert 0 < np.abs(fp32 - int8).max() < 0.15 * np.abs(fp32).max()


@pytest.mark.parametrize(
    ("precision", "dim", "hidden_dim", "group"),
    [("int8", 128, 256, 128), ("int8", 128, 192, 32), ("int8", 32, 64, 32), ("fp32", 128, 256, 32)],
)
def test_int8_rounds_activations_in_groups_of_128_where_every_row_is_made_of_such(
    tmp_path: Path, precision: str, dim: int, hidden_dim: int, group: int
) -> None:
    graph = stored(tmp_path, precision, dim=dim, hidden_dim=hidden_dim)["model.xml"]
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == group


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_that_fp16_cannot_hold_stay_fp32(tmp_path: Path, precision: str) -> None:
    assert "f16" not in constants(stored(tmp_path, precision)["model.xml"])


def test_a_graph_in_which_nothing_can_be_quantised_is_not_called_int8(tmp_path: Path) -> None:
    ids = opset15.parameter([-1, -1], ov.Type.i64, name="input_ids")
    graph = ov.Model([opset15.reduce_sum(opset15.convert(ids, "f32"), 1, keep_dims=True)], [ids], "sums")
    with pytest.raises(BundleError, match="nothing in the graph could be quantised to int8"):
        store(graph, "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_fp16_holds_are_stored_so_without_any_loss(tmp_path: Path) -> None:
    files = stored(tmp_path, "fp32", half=True)
    assert "f32" not in constants(files["model.xml"])
    full = load_model(tmp_path / "checkpoint" / CONFIG, tmp_path / "checkpoint" / WEIGHTS).half().float()
    ov.save_model(export(full, max_tokens=64, pad_id=0), tmp_path / "full.xml", compress_to_fp16=False)
    assert "f16" not in constants(tmp_path / "full.xml")
    assert logits(files["model.xml"]).tobytes() == logits(tmp_path / "full.xml").tobytes()


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_same_model_gives_the_same_bytes_again(tmp_path: Path, precision: str) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (stored(tmp_path / name, precision) for name in ("first", "second"))
    assert {name: path.read_bytes() for name, path in first.items()} == {
        name: path.read_bytes() for name, path in second.items()
    }


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_no_trace_of_the_tools_or_the_machine_is_left(tmp_path: Path, precision: str) -> None:
    graph = stored(tmp_path, precision)["model.xml"].read_text(encoding="utf-8")
    assert [
        trace for trace in ("nncf", "conversion_parameters", str(tmp_path), "/") if f'value="{trace}' in graph
    ] == []
    assert "<nncf>" not in graph
