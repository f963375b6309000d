"""Reads from a checkpoint's configuration what the service has to know: labels, activation, lengths, the tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from transformers import AutoConfig, AutoTokenizer

from mlapi.errors import BundleError

_OFFSET_POSITIONS: Final = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xmod"}
)
"""Architectures that number positions from the padding id on, so that the first rows of their table are never used."""

_UNBOUNDED: Final = 1_000_000
"""Tokenizers without a limit of their own say 10^30."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a manifest says of a model.

    Attributes:
        labels: label names in the order of the model's outputs.
        activation: what the `transformers` pipeline would apply to the model's outputs.
        max_tokens: tokens the model reads at most, special tokens included.
        pad_id: token id that fills a row up to its padded length.
        tokenizer: the content of a `tokenizer.json`.
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
    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a tokenizer's parser raises bare Exception
        msg = f"the configuration or the tokenizer cannot be read: {str(error).strip().partition(chr(10))[0]}"
        raise BundleError(msg) from error
    pad_id = tokenizer.pad_token_id if config.pad_token_id is None else config.pad_token_id
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    problems = [
        (config.problem_type == "regression", "it is a regression model, and its outputs are no probabilities"),
        (pad_id is None, "it has no padding token"),
        (backend is None, "its tokenizer has no form that the library tokenizers can run"),
        (any(tokenizer("a").get("token_type_ids", ())), "it needs token types"),
    ]
    for wrong, reason in problems:
        if wrong:
            msg = f"this model cannot be served: {reason}"
            raise BundleError(msg)
    backend.no_padding()
    backend.no_truncation()
    return Description(
        labels=tuple(config.id2label[index] for index in range(config.num_labels)),
        activation=_activation(config),
        max_tokens=_max_tokens(config, tokenizer),
        pad_id=pad_id,
        tokenizer=backend.to_str(),
    )


def _activation(config: Any) -> Literal["softmax", "sigmoid"]:  # noqa: ANN401  a configuration of any architecture
    """Choose as `transformers.TextClassificationPipeline.postprocess` does."""
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def _max_tokens(config: Any, tokenizer: Any) -> int:  # noqa: ANN401  a configuration of any architecture
    positions = getattr(config, "max_position_embeddings", _UNBOUNDED)
    if config.model_type in _OFFSET_POSITIONS:
        positions -= config.pad_token_id + 1
    limit = int(min(tokenizer.model_max_length, positions))
    if limit >= _UNBOUNDED:
        msg = "neither the model nor its tokenizer says how many tokens it reads at most"
        raise BundleError(msg)
    return limit
