"""Puts into an encoder a last layer that computes the first two tokens alone, for the architectures that it knows.

Only the keys and values of a last layer need all tokens. Same weights, same arithmetic for what is left, but that
DeBERTa's table of distances is cut to those that two rows see.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.nn import functional

MASKED: Final = -30_000.0
"""Added to what a softmax compares, for padding: gives zero, and is no infinity in any number format."""

FIRST: Final = 2
"""Rows of the last layer that are computed. One would be enough; but a product of a single row takes a kernel that no
other number of rows takes, and which rounds differently: a lone text would not have the bits that it has in a batch."""


def _first_rows(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Cut an attention mask or bias of shape [.., .., tokens or 1, tokens] to the rows that are computed."""
    return None if mask is None else mask[:, :, :FIRST]


def _by_head(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Part [texts, rows, width] among the heads: [texts, heads, rows, width of a head]."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(
    rows: torch.Tensor,
    hidden: torch.Tensor,
    projections: tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module],
    heads: int,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Let rows attend to all tokens; shapes [texts, rows, width] and [texts, tokens, width]."""
    query, key, value = (
        _by_head(projection(states), heads)
        for projection, states in zip(projections, (rows, hidden, hidden), strict=True)
    )
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


class _LastBertLayer(torch.nn.Module):
    """The last layer of BERT and those built like it."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401  transformers' modules are untyped
        super().__init__()
        self.layer = layer

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: object, **__: object
    ) -> torch.Tensor:
        rows, own = hidden_states[:, :FIRST], self.layer.attention.self
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
        rows, own = hidden_states[:, :FIRST], self.layer.attention.attn
        bias = position_bias[:, :, :FIRST]
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
        rows, own = hidden[:, :FIRST], last.attention
        mixed = _attend(
            rows, hidden, (own.query, own.key, own.value), own.num_attention_heads, _first_rows(attention_mask)
        )
        attended = own.LayerNorm(rows + own.dense(mixed))
        return (last.full_layer_layer_norm(last.ff_chunk(attended) + attended),)


class _LastDebertaLayer(torch.nn.Module):
    """The last layer of DeBERTa, whose queries and keys are also compared with a table of distances."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401  as above
        super().__init__()
        self.layer = layer

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        relative_pos: torch.Tensor | None = None,
        rel_embeddings: torch.Tensor | None = None,
        **_: object,
    ) -> tuple[torch.Tensor, None]:
        rows, own = hidden_states[:, :FIRST], self.layer.attention.self
        heads = own.num_attention_heads
        query = _by_head(own.query_proj(rows), heads)
        key, value = (_by_head(projection(hidden_states), heads) for projection in (own.key_proj, own.value_proj))
        summands = 1 + ("c2p" in own.pos_att_type) + ("p2c" in own.pos_att_type)
        scale = (own.attention_head_size * summands) ** -0.5
        bias = (1 - attention_mask[:, :, :FIRST].to(hidden_states.dtype)) * MASKED
        if relative_pos is not None and rel_embeddings is not None:
            bias = bias + scale * self._by_distance(query, key, relative_pos, rel_embeddings)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
        attended = self.layer.attention.output(mixed.transpose(1, 2).flatten(2), rows)
        return self.layer.output(self.layer.intermediate(attended), attended), None

    def _by_distance(
        self, query: torch.Tensor, key: torch.Tensor, relative_pos: torch.Tensor, rel_embeddings: torch.Tensor
    ) -> torch.Tensor | int:
        """Compare rows with the distances to tokens and tokens with those to rows: [texts, heads, rows, tokens].

        Args:
            query: of the rows, by head.
            key: of all tokens, by head.
            relative_pos: the distance from a token to another, in buckets, of shape [1, tokens, tokens].
            rel_embeddings: the table of distances, the most negative one first.
        """
        own = self.layer.attention.self
        span = own.pos_ebd_size
        # Seen from the first rows, nothing lies further back than the rows before them.
        table = rel_embeddings[: span + FIRST].unsqueeze(0)
        distances = torch.clamp(relative_pos + span, 0, span * 2 - 1)[:, None, :FIRST]
        distances = distances.expand(*query.shape[:3], key.shape[2])

        def projected(projection: torch.nn.Module) -> torch.Tensor:
            # For each text anew, as in the other layers: a constant would be taken for weights, and made int8.
            return _by_head(projection(table), own.num_attention_heads).expand(query.shape[0], -1, -1, -1)

        compared: torch.Tensor | int = 0
        if "c2p" in own.pos_att_type:
            products = query @ projected(own.key_proj if own.share_att_key else own.pos_key_proj).transpose(-1, -2)
            compared = compared + products.gather(-1, distances)
        if "p2c" in own.pos_att_type:
            products = projected(own.query_proj if own.share_att_key else own.pos_query_proj) @ key.transpose(-1, -2)
            compared = compared + products.gather(-2, distances)
        return compared


class _LastModernBertLayer(torch.nn.Module):
    """The last layer of ModernBERT, local or global; its one product for queries, keys and values is made two."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401  as above
        super().__init__()
        self.layer = layer
        self.attention_type = layer.attention_type  # by which the encoder chooses mask and positions
        joint = layer.attn.Wqkv
        width = joint.out_features // 3
        self.query = _part(joint, slice(0, width))
        self.key_value = _part(joint, slice(width, None))

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **_: object,
    ) -> torch.Tensor:
        layer, rows = self.layer, hidden_states[:, :FIRST]
        heads = self.query.out_features // layer.attn.head_dim
        normed = layer.attn_norm(hidden_states)
        query = _by_head(self.query(normed[:, :FIRST]), heads)
        key, value = (_by_head(states, heads) for states in self.key_value(normed).chunk(2, -1))
        cosine, sine = position_embeddings
        mixed = functional.scaled_dot_product_attention(
            _rotated(query, cosine[:, :FIRST], sine[:, :FIRST]),
            _rotated(key, cosine, sine),
            value,
            attn_mask=_first_rows(attention_mask),
        )
        attended = rows + layer.attn.Wo(mixed.transpose(1, 2).flatten(2))
        output: torch.Tensor = attended + layer.mlp(layer.mlp_norm(attended))
        return output


def _part(joint: torch.nn.Linear, outputs: slice) -> torch.nn.Linear:
    """Return a product that gives some of the outputs of another, with the same weights in memory."""
    part = torch.nn.Linear(joint.in_features, len(joint.weight[outputs]), bias=joint.bias is not None, device="meta")
    part.weight = torch.nn.Parameter(joint.weight[outputs])
    if joint.bias is not None:
        part.bias = torch.nn.Parameter(joint.bias[outputs])
    return part


def _rotated(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys by their positions; shapes [texts, heads, rows, width] and [1, rows, width]."""
    left, right = states.chunk(2, -1)
    return states * cosine.unsqueeze(1) + torch.cat((-right, left), -1) * sine.unsqueeze(1)


def _shorten_bert(encoder: Any) -> None:  # noqa: ANN401  as above
    layers = encoder.encoder.layer
    layers[-1] = _LastBertLayer(layers[-1])


def _shorten_mpnet(encoder: Any) -> None:  # noqa: ANN401  as above
    layers = encoder.encoder.layer
    layers[-1] = _LastMPNetLayer(layers[-1])


def _shorten_albert(encoder: Any) -> None:  # noqa: ANN401  as above
    encoder.encoder = _AlbertLayers(encoder.encoder)


def _shorten_deberta(encoder: Any) -> None:  # noqa: ANN401  as above
    layers = encoder.encoder.layer
    # A convolution after the first layer needs all rows of it.
    if encoder.encoder.conv is None or len(layers) > 1:
        layers[-1] = _LastDebertaLayer(layers[-1])


def _shorten_modernbert(encoder: Any) -> None:  # noqa: ANN401  as above
    encoder.layers[-1] = _LastModernBertLayer(encoder.layers[-1])


LAST_LAYERS: Final[Mapping[str, Callable[[Any], None]]] = {
    "albert": _shorten_albert,
    "bert": _shorten_bert,
    "deberta-v2": _shorten_deberta,
    "electra": _shorten_bert,
    "modernbert": _shorten_modernbert,
    "mpnet": _shorten_mpnet,
    "roberta": _shorten_bert,
    "xlm-roberta": _shorten_bert,
}
"""What puts a last layer of two rows into the encoder of each architecture; the others compute all rows."""
