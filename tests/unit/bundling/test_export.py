"""The graph computes what the model computes, whatever the number of texts, their lengths and their padding."""

# ruff: noqa: E402  the libraries are imported only where they are installed

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.engine_checkpoints import Architecture, TinyCheckpoint, need_pipeline

need_pipeline()

import openvino as ov
import torch

from mlapi.bundling.export import TOLERANCE, export
from mlapi.engines.torch import CONFIG, WEIGHTS, load_model
from mlapi.errors import BundleError

pytestmark = pytest.mark.torch


def tiny(folder: Path, architecture: Architecture, settings: dict[str, Any] | None = None) -> torch.nn.Module:
    TinyCheckpoint(architecture, settings=settings or {}).write(folder)
    return load_model(folder / CONFIG, folder / WEIGHTS)


def row_counts(graph: ov.Model, texts: int, tokens: int) -> list[int]:
    """How many rows each product of the graph has for a batch."""
    products = [node for node in graph.get_ordered_ops() if node.get_type_name() == "MatMul"]
    graph.reshape({port: [texts, tokens] for port in graph.inputs})
    return [int(np.prod(node.get_output_shape(0)[:-1])) for node in products]


KINDS: Final[tuple[tuple[Architecture, dict[str, Any]], ...]] = (
    ("distilbert", {}),
    ("bert", {}),
    ("roberta", {}),
    ("deberta-v2", {}),
    ("deberta-v2", {"share_att_key": False}),
    ("deberta-v2", {"pos_att_type": ["c2p"]}),
    ("deberta-v2", {"pos_att_type": ["p2c"], "position_buckets": -1}),
    ("deberta-v2", {"relative_attention": False, "position_biased_input": True}),
    ("deberta-v2", {"conv_kernel_size": 3}),
    # A convolution after the first layer, which is the last one here.
    ("deberta-v2", {"conv_kernel_size": 3, "num_hidden_layers": 1}),
    ("modernbert", {}),  # whose last layer looks at near tokens alone
    ("modernbert", {"global_attn_every_n_layers": 1, "attention_bias": True}),
)


@pytest.mark.parametrize(("architecture", "settings"), KINDS)
def test_logits_are_the_models_own(tmp_path: Path, architecture: Architecture, settings: dict[str, Any]) -> None:
    model: Any = tiny(tmp_path, architecture, settings)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        for numbers in model.parameters():
            if numbers.ndim == 1:  # what a new model adds is zero, and what it scales by is one
                numbers.add_(0.1 * torch.randn_like(numbers))
    pad_id = model.config.pad_token_id
    compiled = ov.Core().compile_model(
        export(model, max_tokens=64, pad_id=pad_id), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    random = np.random.default_rng(11)
    spread = 0.0
    for texts, tokens in ((1, 1), (1, 8), (2, 13), (5, 40), (1, 64)):
        ids = random.integers(pad_id + 1, model.config.vocab_size, (texts, tokens))
        mask = np.ones_like(ids)
        mask[0, max(1, tokens - 3) :] = 0
        ids[mask == 0] = pad_id
        with torch.inference_mode():
            expected = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()
        actual = compiled({"input_ids": ids, "attention_mask": mask})[0]
        assert np.abs(actual - expected).max() < TOLERANCE
        spread = max(spread, float(np.abs(expected).max()))
    assert spread > 1000 * TOLERANCE, "the tolerance would hide any difference"


def test_the_graph_has_the_inputs_and_outputs_that_the_engine_needs(tmp_path: Path) -> None:
    graph = export(tiny(tmp_path, "distilbert"), max_tokens=64, pad_id=0)
    described = [
        (port.get_any_name(), port.get_partial_shape().to_string(), port.get_element_type().get_type_name())
        for port in (*graph.inputs, *graph.outputs)
    ]
    assert described == [("input_ids", "[?,?]", "i64"), ("attention_mask", "[?,?]", "i64"), ("logits", "[?,2]", "f32")]


def test_distilbert_computes_only_the_first_two_tokens_after_the_last_layers_attention(tmp_path: Path) -> None:
    graph = export(tiny(tmp_path, "distilbert"), max_tokens=64, pad_id=0)
    # Two layers of six products each, then two of the classifier; the last layer needs keys and values of all tokens.
    assert sorted(row_counts(graph, 4, 24)) == [4 * 2] * (4 + 2) + [4 * 24] * (6 + 2)
    assert min(row_counts(graph, 1, 8)) == 2


ROWS: Final = {
    # Two layers of six products, and two of the head. ALBERT and ELECTRA first map embeddings to the layers' width.
    "albert": (4 + 2, 1 + 6 + 2),
    "bert": (4 + 2, 6 + 2),
    "deberta-v2": (4 + 2, 6 + 2),
    "electra": (4 + 2, 1 + 6 + 2),
    # Queries, keys and values are one product in the first layer, and two in the last one.
    "modernbert": (4 + 2, 4 + 1),
    "mpnet": (4 + 2, 6 + 2),
    "roberta": (4 + 2, 6 + 2),
    "xlm-roberta": (4 + 2, 6 + 2),
}


@pytest.mark.parametrize("architecture", ROWS)
def test_others_whose_last_layer_is_known_do_too(tmp_path: Path, architecture: Architecture) -> None:
    model: Any = tiny(tmp_path, architecture)
    graph = export(model, max_tokens=64, pad_id=model.config.pad_token_id)
    rows = row_counts(graph, 4, 24)
    two, all_rows = ROWS[architecture]
    assert (rows.count(4 * 2), rows.count(4 * 24)) == (two, all_rows)


def test_deberta_compares_two_tokens_with_distances_in_the_last_layer(tmp_path: Path) -> None:
    rows = row_counts(export(tiny(tmp_path, "deberta-v2"), max_tokens=64, pad_id=0), 4, 24)
    heads, buckets = 4, 16
    # The first layer has queries with keys, both with distances, and the mean of the values: each for all tokens.
    assert rows.count(4 * heads * 24) == 4
    # Two tokens see the distances to what follows them, to themselves, and to the one token before.
    assert (rows.count(4 * heads * 2), rows.count(4 * heads * (buckets + 2))) == (1, 1)


def shift_logits(model: torch.nn.Module, arguments: object, output: Any) -> None:  # noqa: ANN401
    del model, arguments
    output.logits.add_(0.001)


def test_a_graph_that_differs_from_its_model_is_refused(tmp_path: Path) -> None:
    model = tiny(tmp_path, "distilbert")
    # A step after the classifier, which the graph's own way through the layers knows nothing of.
    model.register_forward_hook(shift_logits)
    with pytest.raises(BundleError, match=r"differ from the model's by 0.001 on 1 tokens"):
        export(model, max_tokens=64, pad_id=0)


def test_a_model_that_reads_fewer_tokens_than_promised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot run DistilBertForSequenceClassification"):
        export(tiny(tmp_path, "distilbert"), max_tokens=65, pad_id=0)


def refuse(model: torch.nn.Module, arguments: object) -> None:
    del model, arguments
    msg = "no such kernel"
    raise RuntimeError(msg)


def test_a_model_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    model = tiny(tmp_path, "bert")
    model.register_forward_pre_hook(refuse)
    with pytest.raises(BundleError, match=r"cannot run BertForSequenceClassification: .*no such kernel"):
        export(model, max_tokens=64, pad_id=0)
