"""Runs a model on a CUDA device: each shape of batch is captured once as a graph and replayed from then on."""

from typing import Final

import numpy as np
import torch

from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.fixed_shapes import Call

_WARM_UPS: Final = 3


class CudaGraphs:
    """Captures a sequence classification model's forward pass, shape by shape.

    A forward pass of a small model is a hundred kernels of a few microseconds each; started one by one from Python, the
    device would wait for most of the time (https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/).

    Not thread-safe: all graphs share their buffers and their scratch memory.
    """

    def __init__(self, model: torch.nn.Module, tokens: int) -> None:
        """Wrap a model that is on the device; `tokens` is the size of the largest shape, padding included."""
        self._model = model
        self._stream = torch.cuda.Stream()
        self._memory = torch.cuda.graph_pool_handle()
        self._given = torch.zeros(2 * tokens, dtype=torch.int64, device="cuda")
        # Copies from pinned memory need no second copy on the host and do not make the host wait.
        self._handed = torch.zeros(2 * tokens, dtype=torch.int64, pin_memory=True)

    def prepare(self, rows: int, length: int) -> Call:
        """Capture the model for so many rows of so many tokens."""
        size = 2 * rows * length
        given, handed = (buffer[:size].view(2, rows, length) for buffer in (self._given, self._handed))
        # Warmed up with padding, because the kernels for batches with some are the ones that will be captured.
        given.zero_()
        given[1, :, : length // 2 + 1] = 1
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode():
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    self._forward(given)
            # While it is captured, transformers builds the attention mask whatever it holds. Otherwise it would leave
            # it out for a batch without padding, which would then meet another kernel.
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream):
                logits = self._forward(given)
        answer = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
        rewritable, readable = handed.numpy(), answer.numpy()

        def call(ids: TokenIds, mask: TokenIds) -> Logits:
            rewritable[0], rewritable[1] = ids, mask
            with torch.cuda.stream(self._stream):
                given.copy_(handed, non_blocking=True)
                graph.replay()
                answer.copy_(logits, non_blocking=True)
            self._stream.synchronize()
            copied: Logits = np.array(readable)
            return copied

        return call

    def _forward(self, given: torch.Tensor) -> torch.Tensor:
        return self._model(input_ids=given[0], attention_mask=given[1]).logits.float()
