"""The CPU engine: runs a bundle's OpenVINO graph."""

import os
import queue
from typing import Final, Self

import numpy as np
import openvino as ov

from mlapi.bundles.store import Bundle
from mlapi.engines.arithmetic import STATIC_GRAPH, Arithmetic, choose, streams
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.errors import BundleError
from mlapi.machine.instruction_set import instruction_set

GRAPH: Final = "model.xml"
WEIGHTS: Final = "model.bin"
STATIC_WEIGHTS: Final = "static.bin"

DEVICE: Final = "CPU"

_KERNELS_OF_A_STREAM: Final = 100
_KERNELS: Final = 300
"""How many kernels are kept where scales are fixed. Each shape of batch needs six or seven of its own, of a quarter of
a MiB each, and there are 205 shapes up to 512 tokens: with the library's own bounds, 5000 and 1024, all of them stayed.
"""
_KERNELS_VARIABLE: Final = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def compile_settings(chosen: Arithmetic, threads: int) -> dict[str, str | int | bool]:
    """Return how a graph is compiled for an arithmetic and so many threads in all."""
    settings: dict[str, str | int | bool] = {
        "NUM_STREAMS": streams(chosen, threads),
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": chosen.hint,
        # Pinned threads of two processes on one machine would fight over the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if chosen.static:
        settings["CPU_RUNTIME_CACHE_CAPACITY"] = _KERNELS_OF_A_STREAM
    return settings


def bound_kernels(chosen: Arithmetic) -> None:
    """Tell the library how many kernels a process keeps, for all graphs; it asks when it makes the first one."""
    if chosen.static:
        # It has no other way to be told. Who set it for the process knows better.
        os.environ.setdefault(_KERNELS_VARIABLE, str(_KERNELS))


def read_graph(bundle: Bundle, chosen: Arithmetic) -> ov.Model:
    """Read the graph that an arithmetic runs.

    Raises:
        BundleError: the bundle holds no OpenVINO graph.
    """
    path, _ = [bundle.file(name) for name in ((STATIC_GRAPH, STATIC_WEIGHTS) if chosen.static else (GRAPH, WEIGHTS))]
    return ov.Core().read_model(path)


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
        chosen = choose(precision, names, static=STATIC_GRAPH in bundle.manifest.files)
        graph = read_graph(bundle, chosen)
        core = ov.Core()
        if chosen.hint == "bf16" and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
            msg = f"the bundle {bundle.manifest.name} is bf16, and this processor has no bf16 arithmetic"
            raise BundleError(msg)
        bound_kernels(chosen)
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
