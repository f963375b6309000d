"""Chooses what of a model is traced: where the classifier reads the first token alone, the last layer for that token.

A classifier that reads the first token never uses the other rows of the last layer: only its keys and values need all
tokens. Same weights, same arithmetic for what is left; `mlapi.bundling.export` compares the graph with the model.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.nn import functional
from transformers.activations import ACT2FN

from mlapi.bundling.last_layers import FIRST, LAST_LAYERS, MASKED
from mlapi.errors import BundleError


def for_tracing(model: Any, *, written_out: bool) -> torch.nn.Module:  # noqa: ANN401  transformers' modules are untyped
    """Return a module that maps token ids and attention mask to logits, with the weights of a classifier.

    Args:
        model: in evaluation mode; it is not changed.
        written_out: whether the attention is to be made of its parts; DistilBERT only.

    Raises:
        BundleError: `written_out`, and the model is no DistilBERT.
    """
    architecture = model.config.model_type
    if architecture == "distilbert":
        return _WrittenOutDistilBert(model) if written_out else _FirstTokenDistilBert(model)
    if written_out:
        msg = f"fixed scales are made for DistilBERT, not for {type(model).__name__}"
        raise BundleError(msg)
    reads_the_mean = getattr(model.config, "classifier_pooling", "cls") != "cls"
    if architecture not in _HEADS or reads_the_mean:
        return WholeModel(model)
    return _FirstToken(model, _HEADS[architecture], LAST_LAYERS[architecture])


class WholeModel(torch.nn.Module):
    """The plain model, reduced to its one answer."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute logits of shape [texts, labels]."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class _FirstToken(torch.nn.Module):
    """A model with its head and its last layer computed for the first two tokens."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  as above
        head: Callable[[Any, torch.Tensor], torch.Tensor],
        shorten: Callable[[Any], None],
    ) -> None:
        super().__init__()
        # A copy of the modules that shares the weights.
        self.model = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
        self._head = head
        self._encoder = getattr(self.model, model.base_model_prefix)
        shorten(self._encoder)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self._encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return self._head(self.model, hidden[:, :FIRST])[:, 0]


def _bert_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    logits: torch.Tensor = model.classifier(model.bert.pooler.activation(model.bert.pooler.dense(rows)))
    return logits


def _roberta_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    logits: torch.Tensor = model.classifier.out_proj(torch.tanh(model.classifier.dense(rows)))
    return logits


def _electra_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    logits: torch.Tensor = model.classifier.out_proj(model.classifier.activation(model.classifier.dense(rows)))
    return logits


def _albert_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    logits: torch.Tensor = model.classifier(model.albert.pooler_activation(model.albert.pooler(rows)))
    return logits


def _deberta_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    activation = ACT2FN[model.config.pooler_hidden_act]
    logits: torch.Tensor = model.classifier(activation(model.pooler.dense(rows)))
    return logits


def _modernbert_head(model: Any, rows: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  as above
    logits: torch.Tensor = model.classifier(model.head(rows))
    return logits


_HEADS: Final[Mapping[str, Callable[[Any, torch.Tensor], torch.Tensor]]] = {
    "albert": _albert_head,
    "bert": _bert_head,
    "deberta-v2": _deberta_head,
    "electra": _electra_head,
    "modernbert": _modernbert_head,
    "mpnet": _roberta_head,
    "roberta": _roberta_head,
    "xlm-roberta": _roberta_head,
}
"""The head of each architecture, over rows of shape [texts, rows, width]."""


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
        first = self._layer(last, hidden[:, :FIRST], hidden, seen)
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
        self.register_buffer("unseen", torch.tensor([MASKED, 0.0]))

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
