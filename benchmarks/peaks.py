"""Measures the machine's peak of matrix products in int8, bf16 and fp32, with the library that mlapi's engine uses.

As a command it prints them as JSON, GFLOP/s by precision: `python -m benchmarks.peaks THREADS`. It is run as a process
of its own, bound to the processors that a server gets.
"""

import json
import sys
import time
from typing import Final

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

_SIZE: Final = 1024
_LAYERS: Final = 8
_REPEATS: Final = 15
_LEVELS: Final = 255
_HINTS: Final = {"int8": "f32", "bf16": "bf16", "fp32": "f32"}


def chain(*, quantised: bool) -> ov.Model:
    """Return a chain of products of square matrices, in int8 with fixed scales, or in floating point."""
    random = np.random.default_rng(1)
    rows = ops.parameter([_SIZE, _SIZE], np.float32, name="rows")
    node = rows
    for _ in range(_LAYERS):
        weights: npt.NDArray[np.float32] = random.normal(0, 1 / 32, (_SIZE, _SIZE)).astype(np.float32)
        matrix = ops.constant(weights)
        if quantised:
            node = _quantise(node, -4.0, 4.0, _LEVELS + 1)
            matrix = _quantise(matrix, -0.125, 0.125, _LEVELS)
        node = ops.matmul(node, matrix, transpose_a=False, transpose_b=False)
    return ov.Model([node], [rows], "chain")


def measure(precision: str, threads: int) -> float:
    """Return the best of some runs, GFLOP/s."""
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = ov.Core().compile_model(chain(quantised=precision == "int8"), "CPU", hints)
    request = compiled.create_infer_request()
    rows = np.random.default_rng(2).normal(size=(_SIZE, _SIZE)).astype(np.float32)
    fastest = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        request.infer([rows], share_inputs=True, share_outputs=True)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * _LAYERS * _SIZE**3 / fastest / 1e9


def _quantise(node: ov.Node, low: float, high: float, levels: int) -> ov.Node:
    bounds = [np.float32(bound) for bound in (low, high, low, high)]
    return ops.fake_quantize(node, *bounds, levels)


def main() -> None:
    """Print the peaks."""
    threads = int(sys.argv[1])
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = [name for name in _HINTS if name.upper() in {*able, "INT8", "FP32"}]
    sys.stdout.write(json.dumps({name: measure(name, threads) for name in precisions}) + "\n")


if __name__ == "__main__":
    main()
