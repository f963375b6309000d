"""Reads from a checkpoint's configuration what the service has to know: labels, activation, lengths, the tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from transformers import AutoConfig, AutoTokenizer

from mlapi.bundling.sentence_pieces import check_models
from mlapi.errors import BundleError

_OFFSET_POSITIONS: Final = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Architectures that number positions from the padding id on, so that the first rows of their table are never used."""

_UNBOUNDED: Final = 1_000_000
"""Tokenizers without a limit of their own say 10^30."""

_CODE: Final = "auto_map"


@dataclass(frozen=True, slots=True)
class Description:
    """What a manifest says of a model.

    Attributes:
        labels: label names in the order of the model's outputs.
        activation: what the `transformers` pipeline would apply to the model's outputs.
        max_tokens: tokens the model reads at most, special tokens included.
        pad_id: token id that fills a row up to its padded length.
        tokenizer: the content of a `tokenizer.json`. Says where texts are cut if that is not their end.
    """

    labels: tuple[str, ...]
    activation: Literal["softmax", "sigmoid"]
    max_tokens: int
    pad_id: int
    tokenizer: str


def describe(folder: Path) -> Description:
    """Read a checkpoint's configuration and tokenizer; code shipped with it is never run.

    Raises:
        BundleError: something cannot be read, or the model is of a kind that the service cannot serve.
    """
    check_models(folder)
    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        limit = _max_tokens(config, tokenizer)
    except Exception as error:  # a tokenizer's parser raises bare Exception
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        msg = f"the configuration or the tokenizer cannot be read: {reason}"
        raise BundleError(msg) from error
    pad_id = tokenizer.pad_token_id if config.pad_token_id is None else config.pad_token_id
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    problems = [
        *_model_problems(folder, config),
        *_label_problems(config),
        (pad_id is None, "it has no padding token"),
        (backend is None, "its tokenizer has no form that the library tokenizers can run"),
        (any(tokenizer("a").get("token_type_ids", ())), "it needs token types"),
        *_tokenizer_problems(config, tokenizer, pad_id, limit),
    ]
    for wrong, reason in problems:
        if wrong:
            msg = f"this model cannot be served: {reason}"
            raise BundleError(msg)
    backend.no_padding()
    backend.no_truncation()
    if tokenizer.truncation_side != "right":
        backend.enable_truncation(limit, direction=tokenizer.truncation_side)
    return Description(
        labels=tuple(config.id2label[index] for index in range(config.num_labels)),
        activation=_activation(config),
        max_tokens=limit,
        pad_id=pad_id,
        tokenizer=backend.to_str(),
    )


def _model_problems(folder: Path, config: Any) -> list[tuple[bool, str]]:  # noqa: ANN401  any architecture
    quantised = getattr(config, "quantization_config", None) is not None
    code = any(_CODE in _read_json(folder / name) for name in ("config.json", "tokenizer_config.json"))
    return [
        (config.problem_type == "regression", "it is a regression model, and its outputs are no probabilities"),
        (quantised, "its weights are quantised already (quantization_config); take the checkpoint they were made from"),
        (code, f"it names code of its own ({_CODE}), which is never run"),
    ]


def _label_problems(config: Any) -> list[tuple[bool, str]]:  # noqa: ANN401  as above
    names = config.id2label
    indices = range(len(names))
    labels = [names[index] for index in sorted(names)]
    text = all(isinstance(label, str) and label.strip() and label.isprintable() for label in labels)
    return [
        (sorted(names) != list(indices), f"id2label names the outputs {sorted(names)}, not {list(indices)}"),
        (not labels, "it has no labels"),
        (not text, f"a label must be printable text, unlike one of {labels}"),
        (len(set(labels)) != len(labels), f"two outputs have the same label: {labels}"),
    ]


def _tokenizer_problems(
    config: Any,  # noqa: ANN401  as above
    tokenizer: Any,  # noqa: ANN401  a tokenizer of any kind
    pad_id: int | None,
    limit: int,
) -> list[tuple[bool, str]]:
    known = len(tokenizer)
    embedded = int(getattr(config.get_text_config(), "vocab_size", known))
    special = tokenizer.num_special_tokens_to_add()
    return [
        (known > embedded, f"its tokenizer has {known} tokens, of which the model knows {embedded}"),
        (2 * known < embedded, f"its tokenizer has only {known} of the model's {embedded} tokens: is a file missing?"),
        (pad_id is not None and not 0 <= pad_id < embedded, f"its padding token {pad_id} is none of its {embedded}"),
        (limit <= special, f"it reads {limit} tokens at most, {special} of them special ones"),
        (
            getattr(tokenizer, "split_special_tokens", False),
            "split_special_tokens has special tokens read as text",
        ),
    ]


def _activation(config: Any) -> Literal["softmax", "sigmoid"]:  # noqa: ANN401  a configuration of any architecture
    """Choose as `transformers.TextClassificationPipeline.postprocess` does."""
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def _max_tokens(config: Any, tokenizer: Any) -> int:  # noqa: ANN401  a configuration of any architecture
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions < 0:  # architectures whose positions are relative say -1
        positions = _UNBOUNDED
    if config.model_type in _OFFSET_POSITIONS:
        positions -= config.pad_token_id + 1
    limit = int(min(tokenizer.model_max_length, positions))
    if limit >= _UNBOUNDED:
        msg = "neither the model nor its tokenizer says how many tokens it reads at most"
        raise BundleError(msg)
    return limit


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes())) if path.exists() else {}
