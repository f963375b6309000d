"""The reference engine: runs a Hugging Face checkpoint with PyTorch, on the processor or on a CUDA device."""

from pathlib import Path
from typing import Any, Final, Self

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig
from transformers.utils import logging as transformers_logging

from mlapi.bundles.store import Bundle
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.engines.instruction_set import instruction_set
from mlapi.errors import BundleError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"

_CUDA_TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TorchEngine:
    """A sequence classification model of `transformers`, one stream.

    Not batch-invariant: matrix products choose their kernel by the number of rows, and kernels round differently.
    """

    batch_invariant = False
    streams = 1

    def __init__(self, model: torch.nn.Module, identity: EngineIdentity, device: str) -> None:
        """Wrap a model that is already in evaluation mode and on the device."""
        self.identity = identity
        self._model = model
        self._device = device

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
            model.to("cuda", _CUDA_TYPES[precision])
            return cls(model, EngineIdentity("torch", version, precision, torch.cuda.get_device_name()), "cuda")
        # How a sum is split between threads can change its last bit, so their number is part of the identity.
        threaded = f"{version}, {threads} threads"
        return cls(model, EngineIdentity("torch", threaded, "fp32", instruction_set()), "cpu")

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        """Run the model on rows of token ids, shape [texts, padded length]."""
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.from_numpy(ids).to(self._device), attention_mask=torch.from_numpy(mask).to(self._device)
            )
        logits: Logits = output.logits.float().cpu().numpy()
        return logits

    def close(self) -> None:
        """Release the model."""
        del self._model


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
