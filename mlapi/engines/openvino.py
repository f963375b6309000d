"""The CPU engine: runs a bundle's OpenVINO graph."""

import queue
from typing import Final, Self

import numpy as np
import openvino as ov

from mlapi.bundles.store import Bundle
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.engines.instruction_set import has_wide_vectors, instruction_set, multiplies_bf16_tiles, multiplies_int8
from mlapi.errors import BundleError

GRAPH: Final = "model.xml"
WEIGHTS: Final = "model.bin"

DEVICE: Final = "CPU"
_ARITHMETIC: Final = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}
"""The type of what int8 does not cover, by precision. Named outright: OpenVINO would choose bf16 where the machine has
it, and the same bundle would score differently from machine to machine without its digest saying so."""


def compile_settings(precision: str, threads: int) -> dict[str, str | int | bool]:
    """Return how a graph of this precision is compiled, as one stream of so many threads."""
    return {
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _ARITHMETIC[precision],
        # Pinned threads of two processes on one machine would fight over the same cores.
        "ENABLE_CPU_PINNING": False,
    }


class OpenVinoEngine:
    """A compiled OpenVINO graph with inputs `input_ids` and `attention_mask` and one output, the logits.

    Batch-invariant: kernels reduce along the row's own dimensions only, and int8 activations are scaled per group of
    values within a token (https://docs.openvino.ai, "Dynamic quantization"); the warm-up verifies it. Except on
    processors without int8 arithmetic for int8, where OpenVINO widens the weights and multiplies in fp32, and for the
    other precisions on x86 processors without AVX-512, and on those with AMX for bf16: there it chooses the kernels by
    the number of rows. It chose the same ones for 2 to 80 rows without AVX-512, so small batches of short texts are
    worth trying.
    """

    batch_tokens = 512
    warm_tokens = 16
    quick_tokens = 0
    trial_tokens = 64

    def __init__(self, compiled: ov.CompiledModel, precision: str, streams: int) -> None:
        """Wrap a compiled graph; `streams` calls may run side by side."""
        self.identity = EngineIdentity("openvino", ov.get_version(), precision, instruction_set())
        names = self.identity.instruction_set
        floats = has_wide_vectors(names) and not (precision == "bf16" and multiplies_bf16_tiles(names))
        self.batch_invariant = multiplies_int8(names) if precision == "int8" else floats
        self.streams = streams
        self._requests: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    @classmethod
    def load(cls, bundle: Bundle, threads: int) -> Self:
        """Compile a bundle's graph for this machine's processor, as one stream of `threads` threads.

        Raises:
            BundleError: the bundle holds no OpenVINO graph, or one that this machine cannot run.
        """
        graph = bundle.file(GRAPH)
        bundle.file(WEIGHTS)
        precision = bundle.manifest.precision
        core = ov.Core()
        if precision == "bf16" and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
            msg = f"the bundle {bundle.manifest.name} is bf16, and this processor has no bf16 arithmetic"
            raise BundleError(msg)
        try:
            compiled = core.compile_model(graph, DEVICE, compile_settings(precision, threads))
        except RuntimeError as error:
            msg = f"OpenVINO cannot load the bundle {bundle.manifest.name}: {str(error).splitlines()[0]}"
            raise BundleError(msg) from error
        return cls(compiled, precision, streams=1)

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
