"""What a bundle's manifest takes from a checkpoint's configuration and tokenizer."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import json
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_tokenizers import SENTENCES
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

from transformers import AutoTokenizer

from mlapi.bundling.describe import describe
from mlapi.errors import BundleError
from mlapi.tokenizing.tokenizer import HfTokenizer

pytestmark = pytest.mark.torch


def change(folder: Path, name: str, **fields: Any) -> None:  # noqa: ANN401  JSON
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def test_labels_come_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    labels = tuple(f"label {index}" for index in range(11))
    assert describe(TinyCheckpoint(labels=labels).write(tmp_path)).labels == labels


@pytest.mark.parametrize(
    ("settings", "labels", "activation"),
    [
        ({}, ("a", "b"), "softmax"),
        ({"problem_type": "single_label_classification"}, ("a", "b", "c"), "softmax"),
        ({"problem_type": "multi_label_classification"}, ("a", "b"), "sigmoid"),
        ({}, ("a",), "sigmoid"),
    ],
)
def test_the_activation_is_the_one_of_the_transformers_pipeline(
    tmp_path: Path, settings: dict[str, Any], labels: tuple[str, ...], activation: str
) -> None:
    assert describe(TinyCheckpoint(labels=labels, settings=settings).write(tmp_path)).activation == activation


def test_the_shorter_of_the_limits_of_model_and_tokenizer_counts(tmp_path: Path) -> None:
    folder = TinyCheckpoint(max_tokens=64).write(tmp_path)
    assert describe(folder).max_tokens == 64
    change(folder, "tokenizer_config.json", model_max_length=48)
    assert describe(folder).max_tokens == 48
    change(folder, "tokenizer_config.json", model_max_length=1_000)
    assert describe(folder).max_tokens == 64


def test_a_tokenizer_without_a_limit_leaves_it_to_the_model(tmp_path: Path) -> None:
    folder = TinyCheckpoint(max_tokens=64).write(tmp_path)
    change(folder, "tokenizer_config.json", model_max_length=int(1e30))
    assert describe(folder).max_tokens == 64


def test_roberta_cannot_use_the_positions_up_to_its_padding_id(tmp_path: Path) -> None:
    folder = TinyCheckpoint("roberta").write(tmp_path)
    change(folder, "config.json", max_position_embeddings=50, pad_token_id=1)
    assert describe(folder).max_tokens == 48


def test_without_any_limit_the_model_is_refused(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    change(folder, "tokenizer_config.json", model_max_length=int(1e30))
    change(folder, "config.json", max_position_embeddings=int(1e9))
    with pytest.raises(BundleError, match="how many tokens it reads at most"):
        describe(folder)


def test_the_padding_id_is_the_models(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    assert describe(folder).pad_id == 0
    change(folder, "config.json", pad_token_id=4)
    assert describe(folder).pad_id == 4
    change(folder, "config.json", pad_token_id=None)
    assert describe(folder).pad_id == 0


@pytest.mark.parametrize(
    ("fields", "said"), [({"problem_type": "regression"}, "regression"), ({"model_type": "made-up"}, "configuration")]
)
def test_a_model_that_cannot_be_served_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    change(folder, "config.json", **fields)
    with pytest.raises(BundleError, match=said):
        describe(folder)


def test_a_model_that_needs_token_types_is_refused(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"type_id": 0', '"type_id": 1'), encoding="utf-8")
    change(folder, "tokenizer_config.json", model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    with pytest.raises(BundleError, match="token types"):
        describe(folder)


def test_without_a_padding_token_the_model_is_refused(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    change(folder, "config.json", pad_token_id=None)
    change(folder, "tokenizer_config.json", pad_token=None)
    with pytest.raises(BundleError, match="no padding token"):
        describe(folder)


def test_a_tokenizer_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BundleError, match="tokenizer cannot be read"):
        describe(folder)


def test_the_described_tokenizer_gives_the_ids_of_transformers(tmp_path: Path) -> None:
    folder = TinyCheckpoint(max_tokens=12).write(tmp_path)
    described = describe(folder)
    (tmp_path / "described.json").write_text(described.tokenizer, encoding="utf-8")
    ours = HfTokenizer.load(tmp_path / "described.json", described.max_tokens).encode(SENTENCES)
    theirs = AutoTokenizer.from_pretrained(folder)(list(SENTENCES), truncation=True, max_length=12)["input_ids"]
    assert [list(text.ids) for text in ours] == theirs
    assert any(text.truncated for text in ours)


def test_a_checkpoint_with_only_a_vocabulary_gets_a_tokenizer(tmp_path: Path) -> None:
    folder = TinyCheckpoint().write(tmp_path)
    expected = HfTokenizer.load(folder / "tokenizer.json", 64).encode(SENTENCES)
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)), encoding="utf-8")
    change(folder, "tokenizer_config.json", tokenizer_class="DistilBertTokenizer", do_lower_case=True)
    (tmp_path / "described.json").write_text(describe(folder).tokenizer, encoding="utf-8")
    assert HfTokenizer.load(tmp_path / "described.json", 64).encode(SENTENCES) == expected
