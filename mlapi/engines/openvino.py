"""The CPU engine: runs a bundle's OpenVINO graph."""

import queue
from typing import Final, Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from mlapi.bundles.store import Bundle
from mlapi.engines.arithmetic import NARROW, STATIC_GRAPH, Arithmetic, choose, streams
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.errors import BundleError
from mlapi.machine.instruction_set import instruction_set

GRAPH: Final = "model.xml"
WEIGHTS: Final = "model.bin"
STATIC_WEIGHTS: Final = "static.bin"

DEVICE: Final = "CPU"
_DEQUANTISING: Final = ("Convert", "Multiply")


def compile_settings(chosen: Arithmetic, threads: int) -> dict[str, str | int | bool]:
    """Return how a graph is compiled for an arithmetic and so many threads in all."""
    return {
        "NUM_STREAMS": streams(chosen, threads),
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": chosen.hint,
        # Pinned threads of two processes on one machine would fight over the same cores.
        "ENABLE_CPU_PINNING": False,
    }


def read_graph(bundle: Bundle, chosen: Arithmetic) -> ov.Model:
    """Read the graph that an arithmetic runs.

    Raises:
        BundleError: the bundle holds no OpenVINO graph.
    """
    path, _ = [bundle.file(name) for name in ((STATIC_GRAPH, STATIC_WEIGHTS) if chosen.static else (GRAPH, WEIGHTS))]
    graph = ov.Core().read_model(path)
    if chosen.widens:
        widen_few_rows(graph)
    return graph


def widen_few_rows(graph: ov.Model) -> list[str]:
    """Widen the int8 matrices that meet a fixed number of rows a text, not one for each token; return their names.

    For compressed matrices OpenVINO chooses another kernel where there are few rows, and a lone text would not have the
    bits that it has in a batch. For others it does not.
    """
    widened = []
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul" or not _meets_few_rows(node):
            continue
        values = _dequantised(node.input_value(1).get_node())
        if values is not None:
            wide = ops.constant(values, name=f"{node.get_friendly_name()}/wide")
            node.input(1).replace_source_output(wide.output(0))
            widened.append(node.get_friendly_name())
    return widened


def is_narrow(graph: ov.Model) -> bool:
    """Tell whether a matrix of weights reduces fewer than `NARROW` values."""
    products = [node for node in graph.get_ordered_ops() if node.get_type_name() == "MatMul"]
    weighted = [node for node in products if _dequantised(node.input_value(1).get_node()) is not None]
    return any(node.input_value(0).get_partial_shape()[-1].get_max_length() < NARROW for node in weighted)


def _meets_few_rows(product: ov.Node) -> bool:
    sizes = list(product.input_value(0).get_partial_shape())
    return all(size.get_max_length() > 0 for size in sizes[1:])


def _dequantised(node: ov.Node) -> NDArray[np.float32] | None:
    """Compute what a constant int8 matrix and its scales amount to; None if a node is anything else."""
    kind = node.get_type_name()
    if kind == "Constant":
        constant: NDArray[np.float32] = node.data.astype(np.float32)
        return constant
    sources = [_dequantised(value.get_node()) for value in node.input_values()] if kind in _DEQUANTISING else [None]
    if any(source is None for source in sources):
        return None
    return sources[0] if kind == "Convert" else np.multiply(*sources)


class OpenVinoEngine:
    """A compiled OpenVINO graph with inputs `input_ids` and `attention_mask` and one output, the logits.

    Batch-invariant where its arithmetic is: kernels reduce along the row's own dimensions only, and int8 activations
    are scaled per group of values within a token (https://docs.openvino.ai, "Dynamic quantization"), or not by what is
    in them. The warm-up verifies it. Where there is no int8 arithmetic, OpenVINO chooses kernels by the number of rows.
    It chose the same ones for 2 to 80 rows without AVX-512, so small batches of short texts are worth trying.
    """

    batch_tokens = 512
    # So few mostly wait for the weights to be read.
    split_tokens = 32
    warm_tokens = 16
    quick_tokens = 0

    def __init__(self, compiled: ov.CompiledModel, identity: EngineIdentity, chosen: Arithmetic, streams: int) -> None:
        """Wrap a compiled graph; `streams` calls may run side by side."""
        self.identity = identity
        self.batch_invariant = chosen.invariant
        self.trial_tokens = chosen.trial_tokens
        self.streams = streams
        self._requests: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    @classmethod
    def load(cls, bundle: Bundle, threads: int, processor: str = "") -> Self:
        """Compile a bundle's graph, in the arithmetic that a processor is best at, for so many threads in all.

        Args:
            bundle: what to load.
            threads: shared by the streams.
            processor: as `instruction_set` gives it; empty: this machine's. Only one that this machine contains runs.

        Raises:
            BundleError: the bundle holds no OpenVINO graph, or one that this machine cannot run.
        """
        precision = bundle.manifest.precision
        names = processor or instruction_set()
        static = STATIC_GRAPH in bundle.manifest.files
        chosen = choose(precision, names, static=static)
        graph = read_graph(bundle, chosen)
        if chosen.widens and is_narrow(graph):
            chosen = choose(precision, names, static=static, narrow=True)
            graph = read_graph(bundle, chosen)
        core = ov.Core()
        if chosen.hint == "bf16" and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
            msg = f"the bundle {bundle.manifest.name} is bf16, and this processor has no bf16 arithmetic"
            raise BundleError(msg)
        try:
            compiled = core.compile_model(graph, DEVICE, compile_settings(chosen, threads))
        except RuntimeError as error:
            msg = f"OpenVINO cannot load the bundle {bundle.manifest.name}: {str(error).splitlines()[0]}"
            raise BundleError(msg) from error
        # Fills a table of the library's Python package. Two threads that did it at once, with the first two calls of
        # `infer`, would wait for each other for ever: one for the interpreter, the other for the table.
        ov.Type.i64.to_dtype()
        identity = EngineIdentity("openvino", ov.get_version(), precision, chosen.name, names)
        return cls(compiled, identity, chosen, streams(chosen, threads))

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Run the graph on rows of token ids, shape [texts, padded length]."""
        request = self._requests.get()
        try:
            results = request.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
            logits: Logits = np.array(results[0], dtype=np.float32)
        finally:
            self._requests.put(request)
        return logits

    def close(self) -> None:
        """Drop the requests; the graph goes with the last of them."""
        while not self._requests.empty():
            self._requests.get()
