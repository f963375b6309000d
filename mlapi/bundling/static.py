"""Fixes the scales of a graph's activations by calibration, so that all its products are of int8 by int8.

SmoothQuant (Xiao et al., https://arxiv.org/abs/2211.10438) with three additions: a channel's middle is taken off before
rounding; the mean error that rounding makes of a product is taken off its bias; and keys come out of their product
transposed, as the attention wants them, and without a scale, which the queries carry. None costs anything at run time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from mlapi.predictions import EncodedText

Floats: TypeAlias = NDArray[np.float32]

_ALPHA: Final = 0.8
"""How much of the activations' range is moved into the weights; SmoothQuant's parameter."""

_LEVELS: Final = 256
_LARGEST: Final = 127
_ROWS: Final = 2000
"""Rows of activations that a product's rounding error is measured on."""

_SEED: Final = 3
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Product:
    """A product by a matrix: its operation, the matrix [out, in], and the operation that adds its bias, if any does."""

    node: Any
    weights: Floats
    add: Any

    @property
    def name(self) -> str:
        name: str = self.node.get_friendly_name()
        return name

    @property
    def bias(self) -> Floats:
        return np.zeros(len(self.weights), np.float32) if self.add is None else _constant(_bias_of(self.add)).ravel()


@dataclass(frozen=True, slots=True)
class _Rounding:
    """Products of one input, and how that is rounded: `(x - middle) / smoothing` in steps of `step`.

    Attributes:
        products: all that have this input.
        rows: some of what it is on the calibration texts, shape [rows, in].
        middle: what is taken off each channel.
        smoothing: what each channel is then divided by.
        step: the scale of all of it.
    """

    products: tuple[_Product, ...]
    rows: Floats
    middle: Floats
    smoothing: Floats
    step: np.float32

    @property
    def is_attended(self) -> bool:
        """Whether the input is the attention's output, whose channels are those of the values."""
        return ".out_lin" in self.products[0].name

    def matrix(self, product: _Product) -> tuple[NDArray[np.int8], Floats]:
        """Return the matrix in int8, and the scale of each of its rows."""
        smoothed = product.weights * self.smoothing
        scale = np.maximum(np.abs(smoothed).max(1), 1e-12) / _LARGEST
        return np.rint(smoothed / scale[:, None]).astype(np.int8), scale.astype(np.float32)

    def bias(self, product: _Product) -> Floats:
        """Return the bias that makes up for the middle, and for the mean error of rounding."""
        matrix, scale = self.matrix(product)
        steps = np.rint((self.rows - self.middle) / self.smoothing / self.step)
        rounded = np.clip(steps, -_LARGEST - 1, _LARGEST) * self.step
        error = (self.rows - self.middle) @ product.weights.T - rounded @ (matrix * scale[:, None]).T
        corrected: Floats = product.bias + product.weights @ self.middle + error.mean(0)
        return corrected


def fix_scales(graph: ov.Model, texts: Sequence[EncodedText]) -> None:
    """Change a graph that `export` has written out into one of int8 products, by what it computes on some texts."""
    groups: dict[tuple[str, int], list[_Product]] = {}
    for product in _products(graph):
        port = product.node.input_value(0)
        groups.setdefault((port.get_node().get_friendly_name(), port.get_index()), []).append(product)
    seen = _sample(graph, [group[0].node.input_value(0) for group in groups.values()], texts)
    roundings = [_rounding(tuple(group), *rows) for group, rows in zip(groups.values(), seen, strict=True)]
    # What a product's result is divided by, and what is taken off it before, by the product's name.
    folded: dict[str, tuple[Floats, Floats]] = {}
    for rounding in roundings:
        for product in rounding.products:
            if rounding.is_attended:
                # Softmax sums to one, so this can be done to the values.
                folded[product.name.replace(".out_lin", ".v_lin")] = (rounding.middle, rounding.smoothing)
            elif ".k_lin" in product.name:
                scale = rounding.matrix(product)[1] * np.float32(_LARGEST)
                folded[product.name.replace(".k_lin", ".q_lin")] = (np.zeros_like(scale), np.float32(1) / scale)
    for rounding in roundings:
        _apply(rounding, folded)
    _round_embeddings(graph)
    graph.validate_nodes_and_infer_types()


def _products(graph: ov.Model) -> Iterator[_Product]:
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul" and _is_constant(node.input_value(1)):
            users = [target.get_node() for target in node.output(0).get_target_inputs()]
            adds = [user for user in users if user.get_type_name() == "Add" and _bias_of(user) is not None]
            yield _Product(node, _constant(node.input(1)), adds[0] if adds else None)


def _bias_of(add: Any) -> Any:  # noqa: ANN401  an operation of a graph, and its input
    return next((given for given in add.inputs() if _is_constant(given.get_source_output())), None)


def _is_constant(output: Any) -> bool:  # noqa: ANN401  an output of an operation
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def _constant(given: Any) -> Floats:  # noqa: ANN401  an input of an operation
    node = given.get_source_output().get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    values: Floats = node.data.astype(np.float32)
    return values


def _sample(graph: ov.Model, ports: Sequence[Any], texts: Sequence[EncodedText]) -> list[tuple[Floats, Floats, Floats]]:
    """Return some rows of each of the ports' values, and the least and the largest value of each channel."""
    probe = graph.clone()
    nodes = {node.get_friendly_name(): node for node in probe.get_ops()}
    probe.add_outputs([nodes[port.get_node().get_friendly_name()].output(port.get_index()) for port in ports])
    request = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    random = np.random.default_rng(_SEED)
    share = max(1, -(-2 * _ROWS // len(texts)))
    kept: list[list[Floats]] = [[] for _ in ports]
    extremes: list[list[Floats]] = [[] for _ in ports]
    for text in texts:
        ids = np.array([text.ids], dtype=np.int64)
        values = request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for index in range(len(ports)):
            rows = np.array(values[1 + index]).reshape(-1, values[1 + index].shape[-1])
            extremes[index].append(np.stack([rows.min(0), rows.max(0)]))
            kept[index].append(rows[random.permutation(len(rows))[:share]])
    return [
        (np.concatenate(rows), np.stack(bounds)[:, 0].min(0), np.stack(bounds)[:, 1].max(0))
        for rows, bounds in zip(kept, extremes, strict=True)
    ]


def _rounding(products: tuple[_Product, ...], rows: Floats, low: Floats, high: Floats) -> _Rounding:
    middle = (low + high) / np.float32(2)
    reach = np.maximum((high - low) / 2, _LEAST)
    largest = np.maximum(np.abs(np.concatenate([product.weights for product in products])).max(0), _LEAST)
    smoothing = np.maximum(reach**_ALPHA / largest ** (1 - _ALPHA), _LEAST).astype(np.float32)
    return _Rounding(products, rows, middle, smoothing, np.float32((reach / smoothing).max() / _LARGEST))


def _apply(rounding: _Rounding, folded: dict[str, tuple[Floats, Floats]]) -> None:
    """Round an input and put its products in int8."""
    port = rounding.products[0].node.input_value(0)
    if rounding.is_attended:
        # Before the heads are put together, so that the attention's own kernel does it.
        merging = port.get_node().input_value(0).get_node()
        merging.input(0).replace_source_output(_rounded(merging.input_value(0), rounding.step))
        quantised = port
    else:
        per_channel = (1, 1, -1)
        smoothed = ops.multiply(port, (1 / rounding.smoothing).reshape(per_channel))
        shifted = ops.subtract(smoothed, (rounding.middle / rounding.smoothing).reshape(per_channel))
        quantised = _rounded(shifted.output(0), rounding.step)
    for product in rounding.products:
        matrix, scale = rounding.matrix(product)
        bias = rounding.bias(product)
        if ".k_lin" in product.name:
            _transpose_keys(product, matrix, quantised)
            continue
        middle, divisor = folded.get(product.name, (np.float32(0), np.float32(1)))
        _replace(product, matrix, scale / divisor, (bias - middle) / divisor, quantised)


def _rounded(port: Any, step: np.float32) -> Any:  # noqa: ANN401  an output of an operation
    low, high = -(_LARGEST + 1) * step, _LARGEST * step
    return ops.fake_quantize(port, low, high, low, high, _LEVELS).output(0)


def _replace(product: _Product, matrix: NDArray[np.int8], scale: Floats, bias: Floats, rows: Any) -> None:  # noqa: ANN401
    wide = ops.multiply(ops.convert(ops.constant(matrix), "f32"), ops.constant(scale[:, None]))
    product.node.input(0).replace_source_output(rows)
    product.node.input(1).replace_source_output(wide.output(0))
    constant = ops.constant(bias.reshape(1, 1, -1).astype(np.float32))
    if product.add is not None:
        _bias_of(product.add).replace_source_output(constant.output(0))
        return
    users = product.node.output(0).get_target_inputs()
    added = ops.add(product.node, constant)
    for user in users:
        user.replace_source_output(added.output(0))


def _transpose_keys(product: _Product, matrix: NDArray[np.int8], rows: Any) -> None:  # noqa: ANN401
    """Compute the keys as matrix by texts. Their bias adds the same to all that a softmax compares, and is left out."""
    end = product.node if product.add is None else product.add
    transposing = next(iter(end.output(0).get_target_inputs())).get_node()
    wide = ops.multiply(ops.convert(ops.constant(matrix[None]), "f32"), ops.constant(np.float32(1 / _LARGEST)))
    keys = ops.matmul(wide, rows, transpose_a=False, transpose_b=True)
    for user in transposing.output(0).get_target_inputs():
        user.replace_source_output(keys.output(0))


def _round_embeddings(graph: ov.Model) -> None:
    """Look words up in int8 and scale what was found: OpenVINO would widen a whole table that is scaled before."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Gather" and _is_constant(node.input_value(0)):
            table = _constant(node.input(0))
            if table.ndim != 2 or table.dtype != np.float32 or len(table) < _LEVELS:  # noqa: PLR2004  words and width
                continue
            scale = np.maximum(np.abs(table).max(1, keepdims=True), 1e-12) / _LARGEST
            small = ops.constant(np.rint(table / scale).astype(np.int8))
            found, scales = (
                ops.gather(source, node.input_value(1), node.input_value(2))
                for source in (small, ops.constant(scale.astype(np.float32)))
            )
            users = node.output(0).get_target_inputs()
            scaled = ops.multiply(ops.convert(found, "f32"), scales)
            for user in users:
                user.replace_source_output(scaled.output(0))
