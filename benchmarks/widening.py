"""Reads the shipped DistilBERT's weights out of its bundle, and widens them without changing what the model says.

Net2Wider (Chen et al., https://arxiv.org/abs/1511.05641): a unit that is there twice, with half of the weights that led
out of it on each of its two copies, gives what it gave alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from mlapi.engines.openvino import GRAPH

Floats: TypeAlias = NDArray[np.float32]

Weights: TypeAlias = Mapping[str, Floats]
"""By the names that transformers gives them in a `DistilBertForSequenceClassification`."""

COPIES: Final = 2
"""Of each unit: of the hidden states, of a head's queries, keys and values, of the feed-forward layers."""

_TRACED: Final = "__module.model."
_STORED: Final = "self.model."
_LAST: Final = "classifier."


def read_weights(bundle: Path) -> dict[str, Floats]:
    """Return the weights in a bundle's graph of int8 weights, as numbers: what a processor without int8 computes with.

    Args:
        bundle: the folder of a DistilBERT that `mlapi bundle build` made with the precision int8.
    """
    found: dict[str, Floats] = {}
    for node in ov.Core().read_model(bundle / GRAPH).get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        if kind == "Constant" and name.startswith(_STORED) and name.endswith(".weight"):
            found[name.removeprefix(_STORED)] = _scaled(node)
        elif name.startswith(_TRACED) and name.endswith(("linear/Add", "layer_norm/Add")):
            found[_parameter(name, "bias")] = _constant(node)
        elif name.startswith(_TRACED) and name.endswith("layer_norm/Multiply_1"):
            found[_parameter(name, "weight")] = _constant(node)
    return found


def widen(weights: Weights) -> dict[str, Floats]:
    """Return the weights of a model twice as wide that gives every text the same logits, but for rounding.

    The number of layers and of heads stays; hidden states, heads and feed-forward layers become twice as wide. Layer
    normalisation sees each value twice, which changes neither its mean nor its variance.
    """
    return {name: _wide(name, values) for name, values in weights.items()}


def _wide(name: str, values: Floats) -> Floats:
    if values.ndim == 1:
        wide = values if name.startswith(_LAST) else np.repeat(values, COPIES)
    elif ".embeddings." in name:
        wide = np.repeat(values, COPIES, axis=1)
    else:
        wide = np.repeat(values, COPIES, axis=1) / np.float32(COPIES)
        wide = wide if name.startswith(_LAST) else np.repeat(wide, COPIES, axis=0)
    # A head that is twice as wide adds up each product twice, and divides by the root of its width.
    return wide * np.float32(COPIES**-0.5) if ".q_lin." in name else wide


def _parameter(name: str, kind: str) -> str:
    return f"{name.removeprefix(_TRACED).partition('/')[0]}.{kind}"


def _scaled(stored: Any) -> Floats:  # noqa: ANN401  an operation of a graph
    """Multiply a matrix in int8 with its scales."""
    converted = next(iter(stored.output(0).get_target_inputs())).get_node()
    scaled = next(iter(converted.output(0).get_target_inputs())).get_node()
    whole: Floats = stored.data.astype(np.float32) * _constant(scaled)
    return whole


def _constant(node: Any) -> Floats:  # noqa: ANN401  as above
    """Return the second input of an operation."""
    source = node.input_value(1).get_node()
    while source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    values: Floats = source.data.astype(np.float32)
    return values.ravel() if node.get_type_name() == "Add" or "layer_norm" in node.get_friendly_name() else values
