"""Tiny seeded random checkpoints with a WordPiece tokenizer, for tests that need a real model but no good one."""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest

from mlapi.engines.telemetry import decline
from tests.checkpoint_tokenizers import SENTENCES, write_byte_pairs, write_unigrams, write_word_pieces

LIBRARIES: Final = ("huggingface_hub", "nncf", "safetensors", "sentencepiece", "torch", "transformers")
Architecture: TypeAlias = Literal[
    "albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta"
]

_SIZES: Final = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64}
_TOKENIZERS: Final = {
    "albert": write_unigrams,
    "deberta-v2": write_unigrams,
    "modernbert": write_byte_pairs,
    "mpnet": write_byte_pairs,
    "roberta": write_byte_pairs,
    "xlm-roberta": write_unigrams,
}


def need_pipeline() -> None:
    """Skip the calling test module where the libraries of the extra `pipeline` are missing; in CI let it fail."""
    decline()
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)


def shared_folder() -> Path:
    """The folder with whole data sets and checkpoints that `SHARED_DIR` names; skip where it names none."""
    folder = os.environ.get("SHARED_DIR")
    if not folder:
        pytest.skip("SHARED_DIR names no folder with the whole data sets")
    return Path(folder)


@dataclass(frozen=True, slots=True)
class TinyCheckpoint:
    """A checkpoint to write.

    Attributes:
        architecture: ALBERT, DeBERTa and XLM-R read unigrams of SentencePiece, MPNet, ModernBERT and RoBERTa pairs of
            bytes, the others word pieces. MPNet, RoBERTa and XLM-R number their positions from the padding id on.
        labels: label names.
        max_tokens: tokens that the tokenizer takes.
        seed: of the random weights.
        settings: further fields of the model's configuration.
    """

    architecture: Architecture = "distilbert"
    labels: tuple[str, ...] = ("NEGATIVE", "POSITIVE")
    max_tokens: int = 64
    seed: int = 7
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write `config.json`, `model.safetensors` and the tokenizer's files; return the folder."""
        import torch  # noqa: PLC0415  this module is imported by tests that run without it
        from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

        tokenizer = _TOKENIZERS.get(self.architecture, write_word_pieces)(folder, self.max_tokens)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = AutoModelForSequenceClassification.from_config(self._config(tokenizer.size, tokenizer.pad_id))
        model.save_pretrained(folder)
        return folder

    def _config(self, size: int, pad_id: int) -> Any:  # noqa: ANN401  a configuration of any architecture
        from transformers import AutoConfig  # noqa: PLC0415

        offset = pad_id + 1 if self.architecture in {"mpnet", "roberta", "xlm-roberta"} else 0
        common: dict[str, Any] = {
            "vocab_size": size,
            "pad_token_id": pad_id,
            "max_position_embeddings": self.max_tokens + offset,
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
            # Large enough for the texts' logits to lie far apart.
            "initializer_range": 0.3,
        }
        return AutoConfig.for_model(self.architecture, **common | self._shape() | self.settings)

    def _shape(self) -> dict[str, Any]:
        match self.architecture:
            case "distilbert":
                return {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64}
            case "albert" | "electra":
                return _SIZES | {"embedding_size": 16}
            case "deberta-v2":  # as in version 3: positions are told by distance alone
                return _SIZES | {
                    "relative_attention": True,
                    "position_buckets": 16,
                    "norm_rel_ebd": "layer_norm",
                    "share_att_key": True,
                    "pos_att_type": ["p2c", "c2p"],
                    "position_biased_input": False,
                    "type_vocab_size": 0,
                }
            case "modernbert":
                special = {"bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}
                return _SIZES | special | {"local_attention": 16, "global_attn_every_n_layers": 2}
            case _:
                return _SIZES


def write_labelled(path: Path, labels: tuple[int, ...] = (1, 1, 0, 1, 1, 0, 1)) -> Path:
    """Write the sentences as labelled texts; labels are indices."""
    rows = [f"{text}\t{label}" for text, label in zip(SENTENCES, labels, strict=True)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return path
