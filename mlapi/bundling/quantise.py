"""Stores a graph in a bundle's precision: int8 weights, or floating point without loss."""

import contextlib
import logging
import sys
from pathlib import Path
from typing import Final

import numpy as np
import openvino as ov

from mlapi.engines.arithmetic import STATIC_GRAPH
from mlapi.errors import BundleError

GRAPH: Final = "model.xml"
WEIGHTS: Final = "model.bin"
STATIC_WEIGHTS: Final = "static.bin"

_TRACES: Final = ("conversion_parameters", "nncf")
"""What the tools note in a graph about how they were called; nothing reads it when the graph runs."""

_GROUP: Final = 128
"""So many of a token's activations share a scale where a processor has int8 arithmetic. OpenVINO's own choice is 32,
for which it converts and adds up four times as often (docs/adr/engine-openvino.md has the measurements)."""

_MATRIX: Final = 2


def store(graph: ov.Model, precision: str, folder: Path) -> dict[str, Path]:
    """Write a graph as `model.xml` and `model.bin`; the same graph always gives the same bytes.

    Args:
        graph: in fp32; is changed.
        precision: `int8` quantises the weights, symmetrically and per output channel, with the remaining numbers in
            fp16, and says in what groups activations are to be rounded. `fp32` and `bf16` keep every weight's value,
            stored as fp16 where that loses nothing: bf16 is a way to compute, which the engine chooses.
        folder: where to write.

    Returns:
        The files by name.

    Raises:
        BundleError: int8 is asked for, and the graph has no matrix that could be quantised.
    """
    if precision == "int8":
        graph = _with_int8_weights(graph)
    _make_reproducible(graph)
    ov.save_model(graph, folder / GRAPH, compress_to_fp16=precision == "int8" or _fits_fp16(graph))
    return {name: folder / name for name in (GRAPH, WEIGHTS)}


def store_static(graph: ov.Model, folder: Path) -> dict[str, Path]:
    """Write a graph whose scales are fixed as `static.xml` and `static.bin`; returns the files by name."""
    _make_reproducible(graph)
    ov.save_model(graph, folder / STATIC_GRAPH, compress_to_fp16=True)
    return {name: folder / name for name in (STATIC_GRAPH, STATIC_WEIGHTS)}


def _with_int8_weights(graph: ov.Model) -> ov.Model:
    import nncf  # noqa: PLC0415  takes seconds, and only int8 needs it

    nncf.set_log_level(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):
        graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
    widths = _int8_widths(graph)
    if not widths:
        msg = "nothing in the graph could be quantised to int8; --precision fp32 takes it as it is"
        raise BundleError(msg)
    if all(width % _GROUP == 0 for width in widths):
        # In the graph instead of in the engine, so that the bundle's digest says how it computes.
        graph.set_rt_info(str(_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    return graph


def _int8_widths(graph: ov.Model) -> set[int]:
    """Return the lengths of the rows of a graph's int8 matrices."""
    constants = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    shapes = [node.get_output_shape(0) for node in constants if node.get_element_type() == ov.Type.i8]
    return {shape[-1] for shape in shapes if len(shape) == _MATRIX}


def _make_reproducible(graph: ov.Model) -> None:
    """Replace what depends on how the tools were called, or on what else the process did before."""
    for name in _TRACES:
        if graph.has_rt_info(name):
            del graph.rt_info[name]
    graph.set_friendly_name("model")
    for position, node in enumerate(graph.get_ordered_ops()):
        kind = node.get_type_name()
        # Nodes without a name of their own are numbered by a counter that never starts again.
        if node.get_friendly_name().rpartition("_")[0] == kind:
            node.set_friendly_name(f"{kind}_{position}")


def _fits_fp16(graph: ov.Model) -> bool:
    """Whether every fp32 constant survives the way to fp16 and back, as those of an fp16 checkpoint do."""
    constants = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    values = (node.data for node in constants if node.get_element_type() == ov.Type.f32)
    with np.errstate(over="ignore"):
        return all(np.array_equal(value.astype(np.float16).astype(np.float32), value) for value in values)
