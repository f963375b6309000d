"""Chooses what of a model is traced: where the classifier reads the first token alone, the last layer for that token.

A classifier that reads the first token never uses the other rows of the last layer: only its keys and values need all
tokens. Same weights, same arithmetic for what is left; `mlapi.bundling.export` compares the graph with the model.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.nn import functional
from transformers.activations import ACT2FN

from mlapi.errors import BundleError

_MASKED: Final = -30_000.0
"""Added to what a softmax compares, for padding: gives zero, and is no infinity in any number format."""

_FIRST: Final = 2
"""Rows of the last layer that are computed. One would be enough; but a product of a single row takes a kernel that no
other number of rows takes, and which rounds differently: a lone text would not have the bits that it has in a batch."""


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
    return _FirstToken(model, _HEADS[architecture], _LAST_LAYERS.get(architecture))


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
    """A model with its head, and where that is known its last layer, computed for the first two tokens."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401  as above
        head: Callable[[Any, torch.Tensor], torch.Tensor],
        shorten: Callable[[Any], None] | None,
    ) -> None:
        super().__init__()
        # A copy of the modules that shares the weights.
        self.model = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
        self._head = head
        self._encoder = getattr(self.model, model.base_model_prefix)
        if shorten is not None:
            shorten(self._encoder)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self._encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return self._head(self.model, hidden[:, :_FIRST])[:, 0]


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


def _first_rows(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Cut an attention mask or bias of shape [.., .., tokens or 1, tokens] to the rows that are computed."""
    return None if mask is None else mask[:, :, :_FIRST]


def _attend(
    rows: torch.Tensor,
    hidden: torch.Tensor,
    projections: tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module],
    heads: int,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Let rows attend to all tokens; shapes [texts, rows, width] and [texts, tokens, width]."""
    query, key, value = (
        projection(states).unflatten(-1, (heads, -1)).transpose(1, 2)
        for projection, states in zip(projections, (rows, hidden, hidden), strict=True)
    )
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


class _LastBertLayer(torch.nn.Module):
    """The last layer of BERT and those built like it."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401  as above
        super().__init__()
        self.layer = layer

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: object, **__: object
    ) -> torch.Tensor:
        rows, own = hidden_states[:, :_FIRST], self.layer.attention.self
        mixed = _attend(
            rows,
            hidden_states,
            (own.query, own.key, own.value),
            own.num_attention_heads,
            _first_rows(attention_mask),
        )
        attended = self.layer.attention.output(mixed, rows)
        output: torch.Tensor = self.layer.output(self.layer.intermediate(attended), attended)
        return output


class _LastMPNetLayer(torch.nn.Module):
    """The last layer of MPNet, which adds a bias by distance to what the softmax compares."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401  as above
        super().__init__()
        self.layer = layer

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_bias: torch.Tensor,
        **_: object,
    ) -> tuple[torch.Tensor]:
        rows, own = hidden_states[:, :_FIRST], self.layer.attention.attn
        bias = position_bias[:, :, :_FIRST]
        mask = _first_rows(attention_mask)
        bias = bias if mask is None else bias + mask
        mixed = _attend(rows, hidden_states, (own.q, own.k, own.v), own.num_attention_heads, bias)
        attended = self.layer.attention.LayerNorm(own.o(mixed) + rows)
        return (self.layer.output(self.layer.intermediate(attended), attended),)


class _AlbertLayers(torch.nn.Module):
    """The layers of ALBERT, which share their weights, so that the last one cannot be replaced alone."""

    def __init__(self, transformer: Any) -> None:  # noqa: ANN401  as above
        super().__init__()
        self.transformer = transformer

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: object
    ) -> tuple[torch.Tensor]:
        whole, config = self.transformer, self.transformer.config
        hidden = whole.embedding_hidden_mapping_in(hidden_states)
        share = config.num_hidden_layers / config.num_hidden_groups
        groups = (whole.albert_layer_groups[math.floor(turn / share)] for turn in range(config.num_hidden_layers))
        *layers, last = (layer for group in groups for layer in group.albert_layers)
        for layer in layers:
            hidden = layer(hidden, attention_mask)
        rows, own = hidden[:, :_FIRST], last.attention
        mixed = _attend(
            rows, hidden, (own.query, own.key, own.value), own.num_attention_heads, _first_rows(attention_mask)
        )
        attended = own.LayerNorm(rows + own.dense(mixed))
        return (last.full_layer_layer_norm(last.ff_chunk(attended) + attended),)


def _shorten_bert(encoder: Any) -> None:  # noqa: ANN401  as above
    layers = encoder.encoder.layer
    layers[-1] = _LastBertLayer(layers[-1])


def _shorten_mpnet(encoder: Any) -> None:  # noqa: ANN401  as above
    layers = encoder.encoder.layer
    layers[-1] = _LastMPNetLayer(layers[-1])


def _shorten_albert(encoder: Any) -> None:  # noqa: ANN401  as above
    encoder.encoder = _AlbertLayers(encoder.encoder)


_LAST_LAYERS: Final[Mapping[str, Callable[[Any], None]]] = {
    "albert": _shorten_albert,
    "bert": _shorten_bert,
    "electra": _shorten_bert,
    "mpnet": _shorten_mpnet,
    "roberta": _shorten_bert,
    "xlm-roberta": _shorten_bert,
}
"""What puts a last layer of two rows into the encoder of each architecture; the others compute all rows."""


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
