"""Turns a loaded checkpoint into an OpenVINO graph: token ids and attention mask in, logits out."""

import copy
import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import openvino as ov
import torch
from torch.nn import functional

from mlapi.errors import BundleError

TOLERANCE: Final = 1e-4
"""How far a logit of the graph may be from the model's, in fp32."""

_EXAMPLE: Final = (2, 16)
_SEED: Final = 7
_MASKED: Final = -30_000.0
"""Added to what a softmax compares, for padding: gives zero, and is no infinity in any number format."""


class _Logits(torch.nn.Module):
    """The plain model, reduced to its one answer."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


_FIRST: Final = 2
"""Rows of the last layer that are computed. One would be enough; but a product of a single row takes a kernel that no
other number of rows takes, and which rounds differently: a lone text would not have the bits that it has in a batch."""


class _FirstTokenDistilBert(torch.nn.Module):
    """DistilBERT with the last layer computed for the first token, and the next, instead of all.

    The classifier reads only that token, so the other rows of the last layer are never used: only its keys and values
    need all tokens. Same weights, same arithmetic for what is left.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401  transformers' modules are untyped
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        encoder = self.model.distilbert
        seen = self._seen(attention_mask)
        hidden = encoder.embeddings(input_ids)
        *layers, last = encoder.transformer.layer
        for layer in layers:
            hidden = self._layer(layer, hidden, hidden, seen)
        first = self._layer(last, hidden[:, :_FIRST], hidden, seen)
        logits: torch.Tensor = self.model.classifier(torch.relu(self.model.pre_classifier(first)))
        return logits[:, 0]

    def _seen(self, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return what tells a layer which tokens are texts and which are padding."""
        return attention_mask[:, None, None, :].to(torch.bool)

    def _layer(self, layer: Any, rows: torch.Tensor, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        """Compute a layer for some rows, which attend to all of `hidden`; shapes [texts, rows or tokens, width]."""
        attention = layer.attention
        query, key, value = (
            projection(states).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2)
            for projection, states in ((attention.q_lin, rows), (attention.k_lin, hidden), (attention.v_lin, hidden))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        attended = layer.sa_layer_norm(attention.out_lin(mixed.transpose(1, 2).flatten(2)) + rows)
        expanded = layer.ffn.activation(layer.ffn.lin1(attended))
        output: torch.Tensor = layer.output_layer_norm(layer.ffn.lin2(expanded) + attended)
        return output


class _WrittenOutDistilBert(_FirstTokenDistilBert):
    """The same with the attention written out, so that its products can be told apart and rounded one by one.

    The feed-forward layer is computed in two halves, the second's result added to the first's: a half's weights and
    activations stay in a processor's second-level cache.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401  transformers' modules are untyped
        super().__init__(copy.deepcopy(model))
        for layer in self.model.distilbert.transformer.layer:
            query = layer.attention.q_lin
            scale = (query.out_features // layer.attention.n_heads) ** -0.5
            with torch.no_grad():
                query.weight.mul_(scale)
                query.bias.mul_(scale)
        self.register_buffer("unseen", torch.tensor([_MASKED, 0.0]))

    def _seen(self, attention_mask: torch.Tensor) -> torch.Tensor:
        # Looked up once, so that no layer computes it again.
        addend: torch.Tensor = self.unseen[attention_mask][:, None, None, :]
        return addend

    def _layer(self, layer: Any, rows: torch.Tensor, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        attention, feed_forward = layer.attention, layer.ffn
        query, value = (
            projection(states).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2)
            for projection, states in ((attention.q_lin, rows), (attention.v_lin, hidden))
        )
        key = attention.k_lin(hidden).transpose(1, 2).unflatten(1, (attention.n_heads, -1))
        mixed = torch.softmax(query @ key + seen, -1) @ value
        attended = layer.sa_layer_norm(attention.out_lin(mixed.transpose(1, 2).flatten(2)) + rows)
        half = feed_forward.lin1.out_features // 2
        inner, outer = feed_forward.lin1, feed_forward.lin2
        parts = [
            functional.linear(
                feed_forward.activation(functional.linear(attended, inner.weight[part], inner.bias[part])),
                outer.weight[:, part],
                bias,
            )
            for part, bias in ((slice(0, half), outer.bias), (slice(half, None), None))
        ]
        output: torch.Tensor = layer.output_layer_norm(parts[0] + parts[1] + attended)
        return output


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
        graph = _convert(model, written_out=written_out)
        _compare(graph, model, max_tokens=max_tokens, pad_id=pad_id)
    except BundleError:
        raise
    except Exception as error:  # whatever an architecture that OpenVINO does not know provokes in it
        msg = f"OpenVINO cannot run {type(model).__name__}: {textwrap.shorten(str(error), 300)}"
        raise BundleError(msg) from error
    return graph


def _convert(model: Any, *, written_out: bool) -> ov.Model:  # noqa: ANN401  as above
    if model.config.model_type == "distilbert":
        wrapped = _WrittenOutDistilBert(model) if written_out else _FirstTokenDistilBert(model)
    elif written_out:
        msg = f"fixed scales are made for DistilBERT, not for {type(model).__name__}"
        raise BundleError(msg)
    else:
        wrapped = _Logits(model)
    ids = torch.ones(_EXAMPLE, dtype=torch.int64)
    with _quietly(), torch.inference_mode():
        graph = ov.convert_model(
            wrapped.eval(), example_input={"input_ids": ids, "attention_mask": torch.ones_like(ids)}
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
