"""The encoder goes through the same stages: it learns, a teacher helps, its bundle passes the known comparison."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import re
import shutil
from pathlib import Path

import pytest

from tests.engine_checkpoints import need_pipeline

need_pipeline()

import torch
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertModel

from mlapi.bundles.store import open_bundle
from training import (
    data_ingestion,
    data_preprocessing,
    encoder,
    feature_engineering,
    model_building,
    model_registration,
)
from training.params import DEFAULT
from training.pipeline import main
from training.sample import make_up
from training.workspace import read_json, sha256

pytestmark = pytest.mark.torch

QUICK = """
models:
  project:
    data: {{train: [{{name: few, file: few.tsv, sha256: {few}, labels: {{"0": NEGATIVE, "1": POSITIVE}}}}]}}
    building: {{fresh: {{dim: 32, layers: 1}}, epochs: 2, batch: 32, learning_rate: 0.01, {more}}}
    gate: {{accuracy: {{held out: 0.4}}}}
"""


def options(tmp_path: Path, name: str, more: str = "seed: 7") -> list[str]:
    few = tmp_path / "data/few.tsv"
    few.parent.mkdir(exist_ok=True)
    few.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in make_up(300)), encoding="utf-8")
    over = tmp_path / f"{name}.yaml"
    over.write_text(QUICK.format(few=sha256(few), more=more), encoding="utf-8")
    files = (DEFAULT, DEFAULT.with_name("small.yaml"), over)
    params = [part for path in files for part in ("--params", str(path))]
    return ["project", *params, "--results", str(tmp_path / "results"), "--shared", str(tmp_path)]


def teacher(digest: str) -> str:
    return f"distillation: 0.9, teacher: {{folder: teacher, sha256: '{digest}'}}"


@pytest.mark.timeout(240)
def test_a_model_is_trained_and_teaches_another(tmp_path: Path) -> None:
    main(options(tmp_path, "plain"))
    made = tmp_path / "results/project"
    manifest = open_bundle(made / "bundle/project-sample").manifest
    (evaluation,) = manifest.evaluations
    assert (manifest.engine, manifest.precision, evaluation.dataset) == ("openvino", "int8", "held out")
    assert evaluation.agreement >= 0.99
    alone = read_json(made / "model/training.json")
    assert alone["curve"][-1]["lines"]["loss"] < alone["curve"][0]["lines"]["loss"]

    weights = shutil.copytree(made / "model", tmp_path / "models/teacher") / "model.safetensors"
    model_building.main(options(tmp_path, "taught", teacher(sha256(weights))))
    taught = read_json(made / "model/training.json")
    assert taught["chosen"]["teacher"] == sha256(weights)
    assert taught["curve"] != alone["curve"]

    # A checkpoint in 16 bits, as the shipped model's is, is trained in 32; what is frozen stays as it was.
    kept = {name: value.half() for name, value in load_file(weights).items()}
    half = shutil.copytree(made / "model", tmp_path / "models/half") / "model.safetensors"
    save_file(kept, half, {"format": "pt"})
    config = half.with_name("config.json")
    config.write_text(config.read_text(encoding="utf-8").replace("float32", "float16"), encoding="utf-8")
    start = f"frozen_layers: 1, class_weight: balanced, start: {{folder: half, sha256: '{sha256(half)}'}}"
    model_building.main(options(tmp_path, "further", start))
    after = load_file(made / "model/model.safetensors")
    assert {value.dtype for value in after.values()} == {torch.float32}
    same = {name for name, value in after.items() if torch.equal(value, kept[name].float())}
    assert same == {name for name in kept if name.startswith("distilbert.")}

    model_registration.main(options(tmp_path, "further", f"{start}, precision: bf16"))
    assert open_bundle(made / "bundle/project-sample").manifest.precision == "bf16"


@pytest.mark.parametrize(
    ("folder", "said"),
    [("all-minilm-l6-v2", ": python -m training.source_encoder makes it"), ("somebody-s", "")],
)
def test_a_missing_checkpoint_is_said_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, said: str
) -> None:
    monkeypatch.setattr(encoder, "ENCODERS", tmp_path / "made")
    start = f"start: {{folder: {folder}, sha256: '{'0' * 64}'}}"
    whole = f"the checkpoint {folder} is not in {tmp_path / 'models'} or {tmp_path / 'made'}{said}"
    with pytest.raises(SystemExit, match=f"^feature_engineering: {re.escape(whole)}$"):
        main(options(tmp_path, "nowhere", start))


def test_a_checkpoint_that_was_made_here_is_found_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "ENCODERS", tmp_path / "made")
    made = DistilBertModel(DistilBertConfig(dim=32, n_heads=2, n_layers=1, hidden_dim=64))
    made.save_pretrained(tmp_path / "made/own")
    shutil.copy(encoder.SHIPPED_TOKENIZER, tmp_path / "made/own")
    weights = tmp_path / "made/own/model.safetensors"
    more = f"start: {{folder: own, sha256: '{sha256(weights)}'}}"
    for stage in (data_ingestion, data_preprocessing, feature_engineering, model_building):
        stage.main(options(tmp_path, "own", more))
    after = load_file(tmp_path / "results/project/model/model.safetensors")
    before = {f"distilbert.{name}" for name in load_file(weights)}
    assert before < after.keys()
    assert {name.partition(".")[0] for name in after.keys() - before} == {"pre_classifier", "classifier"}


def test_another_checkpoint_under_the_same_name_is_refused(tmp_path: Path) -> None:
    main_options = options(tmp_path, "wrong", teacher("0" * 64))
    (tmp_path / "models/teacher").mkdir(parents=True)
    (tmp_path / "models/teacher/model.safetensors").write_bytes(b"other")
    with pytest.raises(SystemExit, match="is not the checkpoint that the parameters name"):
        main(main_options)
