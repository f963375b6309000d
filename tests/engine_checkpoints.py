"""Tiny seeded random checkpoints with a WordPiece tokenizer, for tests that need a real model but no good one."""

import importlib.util
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mlapi.engines.telemetry import decline

LIBRARIES: Final = ("huggingface_hub", "nncf", "safetensors", "sentencepiece", "torch", "transformers")
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS: Final = ("the", "film", "is", "was", "good", "bad", "not", "very", "fine", "dull", "and", "but", *"!.,'")
LETTERS: Final = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
VOCABULARY: Final = (*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS))

SENTENCES: Final = (
    "the film is good",
    "the film was not very good, but fine!",
    "dull and bad",
    "good",
    "it 's a charming and often affecting journey .",
    "unflinchingly bleak and desperate",
    "not bad at all, and not dull, and not long, but not very good: the film is fine.",
)


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
        architecture: `roberta` numbers its positions from the padding id on, `bert` has token types.
        labels: label names.
        max_tokens: tokens that the tokenizer takes.
        seed: of the random weights.
        settings: further fields of the model's configuration.
    """

    architecture: Literal["distilbert", "bert", "roberta"] = "distilbert"
    labels: tuple[str, ...] = ("NEGATIVE", "POSITIVE")
    max_tokens: int = 64
    seed: int = 7
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write `config.json`, `model.safetensors` and the tokenizer's files; return the folder."""
        import torch  # noqa: PLC0415  this module is imported by tests that run without it
        from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = AutoModelForSequenceClassification.from_config(self._config())
        model.save_pretrained(folder)
        write_tokenizer(folder, self.max_tokens)
        return folder

    def _config(self) -> Any:  # noqa: ANN401  a configuration of any architecture
        from transformers import BertConfig, DistilBertConfig, RobertaConfig  # noqa: PLC0415

        common: dict[str, Any] = {
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": self.max_tokens,
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
            # Large enough for the texts' logits to lie far apart.
            "initializer_range": 0.3,
            **self.settings,
        }
        if self.architecture == "distilbert":
            return DistilBertConfig(**{"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64} | common)
        sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64}
        if self.architecture == "bert":
            return BertConfig(**sizes | common)
        common["max_position_embeddings"] += 1
        return RobertaConfig(**sizes | {"pad_token_id": 0} | common)


def write_tokenizer(folder: Path, max_tokens: int) -> None:
    """Write an uncased WordPiece tokenizer as `tokenizer.json` and `tokenizer_config.json`."""
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def write_labelled(path: Path, labels: tuple[int, ...] = (1, 1, 0, 1, 1, 0, 1)) -> Path:
    """Write the sentences as labelled texts; labels are indices."""
    rows = [f"{text}\t{label}" for text, label in zip(SENTENCES, labels, strict=True)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return path
