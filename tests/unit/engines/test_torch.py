"""The reference engine loads what it should, refuses what it would have to make up, and says what computes."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import json
from pathlib import Path

import pytest

from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from mlapi.engines.torch import CONFIG, WEIGHTS, load_model
from mlapi.errors import BundleError

pytestmark = pytest.mark.torch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return TinyCheckpoint().write(tmp_path)


def test_a_model_is_loaded_in_fp32_ready_to_predict(folder: Path) -> None:
    weights = {name: tensor.half() for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS)
    model = load_model(folder / CONFIG, folder / WEIGHTS)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training


def test_a_checkpoint_without_a_head_is_refused_instead_of_getting_a_random_one(folder: Path) -> None:
    weights = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if "classifier" not in name}
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(BundleError, match=r"lacks classifier\.bias, classifier\.weight, .* trained to classify"):
        load_model(folder / CONFIG, folder / WEIGHTS)


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "made-up"}, {"model_type": "vit"}, {"dim": 64}, {"model_type": None}],
    ids=["unknown architecture", "reads no text", "other sizes", "none"],
)
def test_a_configuration_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object]) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8")) | changes
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(BundleError, match="not a sequence classification checkpoint"):
        load_model(folder / CONFIG, folder / WEIGHTS)


def test_weights_that_are_no_safetensors_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04pickle")
    with pytest.raises(BundleError, match="not a sequence classification checkpoint"):
        load_model(folder / CONFIG, folder / WEIGHTS)


def test_code_in_a_checkpoint_is_never_run(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')", encoding="utf-8")
    with pytest.raises(BundleError):
        load_model(folder / CONFIG, folder / WEIGHTS)
    assert not (folder / "ran").exists()


def test_files_beside_the_named_ones_are_not_read(folder: Path) -> None:
    for name in ("adapter_config.json", "model.safetensors.index.json", "generation_config.json"):
        (folder / name).write_text("not JSON", encoding="utf-8")
    assert not load_model(folder / CONFIG, folder / WEIGHTS).training


def test_loading_leaves_the_progress_bars_of_transformers_as_they_were(folder: Path) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    load_model(folder / CONFIG, folder / WEIGHTS)
    assert transformers_logging.is_progress_bar_enabled() == before
