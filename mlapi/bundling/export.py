"""Turns a loaded checkpoint into an OpenVINO graph: token ids and attention mask in, logits out."""

import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import openvino as ov
import torch

from mlapi.bundling.first_token import for_tracing
from mlapi.errors import BundleError

TOLERANCE: Final = 1e-4
"""How far a logit of the graph may be from the model's, in fp32."""

_EXAMPLE: Final = (2, 16)
_SEED: Final = 7


def export(model: torch.nn.Module, *, max_tokens: int, pad_id: int, written_out: bool = False) -> ov.Model:
    """Convert a sequence classification model to a graph and compare the two on made-up texts of several lengths.

    Args:
        model: in fp32 and in evaluation mode.
        max_tokens: the longest text that the graph must take, special tokens included.
        pad_id: token id that fills a row up to its padded length.
        written_out: whether the attention is to be made of its parts, for `fix_scales`; DistilBERT only.

    Returns:
        A graph with inputs `input_ids` and `attention_mask`, both int64 of shape [texts, tokens] with both sizes
        dynamic, and the output `logits`, float32 of shape [texts, labels].

    Raises:
        BundleError: the model cannot be converted, or the graph's logits of a padded text differ from the model's own
            of that text alone.
    """
    try:
        graph = convert(for_tracing(model, written_out=written_out))
        _compare(graph, model, max_tokens=max_tokens, pad_id=pad_id)
    except BundleError:
        raise
    except Exception as error:  # whatever an architecture that OpenVINO does not know provokes in it
        msg = f"OpenVINO cannot run {type(model).__name__}: {textwrap.shorten(str(error), 300)}"
        raise BundleError(msg) from error
    return graph


def convert(module: torch.nn.Module) -> ov.Model:
    """Convert a module of token ids and attention mask that gives logits; returns what `export` does, unchecked."""
    ids = torch.ones(_EXAMPLE, dtype=torch.int64)
    with _quietly(), torch.inference_mode():
        graph = ov.convert_model(
            module.eval(), example_input={"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        )
    shapes = {}
    for port, name in zip(graph.inputs, ("input_ids", "attention_mask"), strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_element_type(ov.Type.i64)
        shapes[port] = ov.PartialShape([-1, -1])
    graph.outputs[0].get_tensor().set_names({"logits"})
    graph.reshape(shapes)
    return graph


@contextmanager
def _quietly() -> Iterator[None]:
    """Hold back what every conversion provokes, whatever the model."""
    logger = logging.getLogger("transformers.modeling_utils")
    with warnings.catch_warnings():
        # OpenVINO's frontend traces with an interface that PyTorch 2.15 deprecates; 2026.4 has no other.
        warnings.filterwarnings("ignore", "`torch.jit.*` is deprecated", FutureWarning)
        # The tracer reads every attribute of the model: deprecated ones, and the loss that nobody computes.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # Branches on a tensor's size are fixed while tracing; `_compare` shows whether that was right for other sizes.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean", torch.jit.TracerWarning)
        # The same of numbers that DeBERTa makes tensors of, one of which the tracer has made a tensor already.
        warnings.filterwarnings("ignore", "torch.tensor results are registered as constants", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "To copy construct from a tensor", UserWarning)
        logger.addFilter(_is_not_about_the_loss)
        try:
            yield
        finally:
            logger.removeFilter(_is_not_about_the_loss)


def _is_not_about_the_loss(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("`loss_type=")


def _compare(graph: ov.Model, model: torch.nn.Module, *, max_tokens: int, pad_id: int) -> None:
    """Compare the graph on padded rows of random ids with the model on each row's real ids alone."""
    config: Any = model.config
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    random = np.random.default_rng(_SEED)
    for texts, tokens in ((1, 1), (3, 24), (1, max_tokens)):
        length = min(tokens, max_tokens)
        ids = random.integers(0, config.vocab_size, (texts, length), dtype=np.int64)
        ids[ids == pad_id] = (pad_id + 1) % config.vocab_size
        mask = np.ones_like(ids)
        for row in range(texts):
            mask[row, max(1, length - 5 * row) :] = 0
        ids[mask == 0] = pad_id
        logits = compiled({"input_ids": ids, "attention_mask": mask})[0]
        for row in range(texts):
            real = torch.from_numpy(ids[row : row + 1, : mask[row].sum()])
            with torch.inference_mode():
                expected = model(input_ids=real, attention_mask=torch.ones_like(real)).logits[0].numpy()
            difference = float(np.abs(logits[row] - expected).max())
            if not difference <= TOLERANCE:  # not the same as >, which lets NaN pass
                msg = f"the graph's logits differ from the model's by {difference:.2g} on {len(real[0])} tokens"
                raise BundleError(msg)
