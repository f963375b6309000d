"""The reference engine: runs a Hugging Face checkpoint with PyTorch, on the processor or on a CUDA device."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig
from transformers.utils import logging as transformers_logging

from mlapi.bundles.store import Bundle
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.engines.cuda import CudaGraphs
from mlapi.engines.fixed_shapes import FixedShapes
from mlapi.errors import BundleError
from mlapi.machine.instruction_set import instruction_set

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"

CPU_BATCH_TOKENS: Final = 512
CUDA_BUDGETS: Final = (512, 2048, 8192)
"""Padded tokens in a call on a CUDA device: the smallest one is what a lone short text costs, the largest is where more
no longer makes a token cheaper."""

_CUDA_TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


class _Computing(Protocol):
    """A model on some device."""

    @property
    def invariant(self) -> bool: ...

    def __call__(self, ids: TokenIds, mask: TokenIds) -> Logits: ...


class TorchEngine:
    """A sequence classification model of `transformers`.

    On the processor not batch-invariant: matrix products choose their kernel by the number of rows, and kernels round
    differently. On a CUDA device batches have fixed shapes, which makes it so; two calls overlap there, one of them
    being prepared while the device computes the other.
    """

    # On a CUDA device the first call of a length records the kernels of all later ones.
    warm_tokens = sys.maxsize
    trial_tokens = 0
    quick_tokens = 0

    def __init__(self, computing: _Computing, identity: EngineIdentity, *, streams: int, batch_tokens: int) -> None:
        self.identity = identity
        self.streams = streams
        self.batch_tokens = batch_tokens
        # The streams of a device share it: half a batch each would take as long as the whole.
        self.split_tokens = batch_tokens
        self.computing = computing

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's logits depend on the row alone; on a CUDA device, as far as the shapes in use have shown."""
        return self.computing.invariant

    @classmethod
    def load(cls, bundle: Bundle, threads: int) -> Self:
        """Load a bundle: in fp32 on the processor, in the bundle's precision on a CUDA device where there is one.

        Sets PyTorch's number of threads for the whole process.

        Raises:
            BundleError: the bundle holds no checkpoint, or one that cannot be loaded.
        """
        model = load_model(bundle.file(CONFIG), bundle.file(WEIGHTS))
        torch.set_num_threads(threads)
        version = f"torch {torch.__version__}, transformers {transformers.__version__}"
        if torch.cuda.is_available():
            precision = bundle.manifest.precision
            if precision not in _CUDA_TYPES:
                msg = f"the engine torch computes in {' or '.join(_CUDA_TYPES)}, not in {precision}"
                raise BundleError(msg)
            most = CUDA_BUDGETS[-1]
            # The shape of a call decides on its kernels, so the budget is part of the identity.
            identity = EngineIdentity(
                "torch", f"{version}, calls of {most} tokens", precision, precision, torch.cuda.get_device_name()
            )
            return cls(on_cuda(model, _CUDA_TYPES[precision], CUDA_BUDGETS), identity, streams=2, batch_tokens=most)
        # How a sum is split between threads can change its last bit, so their number is part of the identity.
        identity = EngineIdentity("torch", f"{version}, {threads} threads", "fp32", "fp32", instruction_set())
        return cls(_OnProcessor(model), identity, streams=1, batch_tokens=CPU_BATCH_TOKENS)

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Run the model on rows of token ids, shape [texts, padded length]."""
        return self.computing(ids, mask)

    def close(self) -> None:
        """Release the model."""
        del self.computing


class _OnProcessor:
    """Runs a model on the processor, rows as they come."""

    invariant = False

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model

    def __call__(self, ids: TokenIds, mask: TokenIds) -> Logits:
        with torch.inference_mode():
            output = self._model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        logits: Logits = output.logits.numpy()
        return logits


def on_cuda(model: torch.nn.Module, number: torch.dtype, budgets: Sequence[int]) -> FixedShapes:
    """Move a model to the CUDA device, to compute there in a number format in calls of these many padded tokens."""
    # Sums that were cut in pieces must not be added up in the short format.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    model.to("cuda", number)
    # A text that is longer than the budget is computed alone.
    graphs = CudaGraphs(model, max(budgets[-1], getattr(model.config, "max_position_embeddings", 0)))
    return FixedShapes(graphs.prepare, budgets=budgets, vocabulary=model.config.vocab_size)


def load_model(config: Path, weights: Path) -> torch.nn.Module:
    """Load a sequence classification checkpoint in fp32, in evaluation mode; code shipped with it is never run.

    Args:
        config: the checkpoint's `config.json`; no file beside it is read.
        weights: its `model.safetensors`.

    Raises:
        BundleError: a file cannot be read, the architecture is unknown, or weights are missing, as in a checkpoint
            without a classification head, for which `transformers` would make up random ones.
    """
    progress_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        settings = AutoConfig.from_pretrained(config, trust_remote_code=False)
        architecture: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(settings)]
        model, report = architecture.from_pretrained(
            None, config=settings, state_dict=load_file(weights), dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        msg = f"this is not a sequence classification checkpoint that transformers can load: {_first_line(error)}"
        raise BundleError(msg) from error
    finally:
        if progress_bar:
            transformers_logging.enable_progress_bar()
    if report["missing_keys"]:
        msg = f"{weights.name} lacks {', '.join(sorted(report['missing_keys']))}: was the model trained to classify?"
        raise BundleError(msg)
    loaded: torch.nn.Module = model.eval()
    return loaded


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
