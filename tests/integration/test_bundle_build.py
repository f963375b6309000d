"""Whole builds of tiny models: what passes is written, what is not good enough is refused and leaves nothing behind."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import itertools
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.checkpoint_tokenizers import SENTENCES, WORDS
from tests.engine_checkpoints import Architecture, TinyCheckpoint, need_pipeline, shared_folder, write_labelled

need_pipeline()

import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from mlapi.batching.buckets import padded_length
from mlapi.bundles.store import open_bundle
from mlapi.bundling.build import Engine, Order, Precision, build
from mlapi.bundling.parity import Runner
from mlapi.cli.bundle import bundle as command
from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.openvino import OpenVinoEngine
from mlapi.engines.registry import load_engine
from mlapi.errors import BundleError, ConfigurationError
from mlapi.machine.instruction_set import multiplies_int8_tiles
from mlapi.observability.drift import comparable
from mlapi.settings import DEFAULT_BUNDLE
from mlapi.tokenizing.tokenizer import HfTokenizer

pytestmark = pytest.mark.torch


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    return TinyCheckpoint().write(folder)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_labelled(tmp_path / "texts.tsv")


def say_nothing(line: str) -> None:
    del line


def split_hairs(checkpoint: Path) -> None:
    """Tell the labels apart by weights so close that int8 makes them equal, whatever their scale."""
    weights = load_file(checkpoint / "model.safetensors")
    row = torch.arange(-16, 16).float()
    row[0] = 127
    hair = torch.zeros_like(row)
    hair[1:] = torch.tensor([0.01, -0.01]).repeat(16)[1:]
    weights["classifier.weight"] = torch.stack([row, row + hair])
    weights["classifier.bias"] = torch.zeros(2)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "roberta"])
def test_a_bundle_gives_the_models_scores(tmp_path: Path, architecture: Architecture) -> None:
    folder = tmp_path / "some model"
    folder.mkdir()
    TinyCheckpoint(architecture, labels=("a", "b", "c")).write(folder)
    made = {}
    for engine in ("openvino", "torch"):
        bundle = build(Order(str(folder), tmp_path / engine, engine=engine, precision="fp32"), say_nothing)
        manifest = bundle.manifest
        runner = Runner(
            load_engine(engine, bundle, 1), manifest.pad_id, "softmax", partial(padded_length, max_tokens=64)
        )
        encoded = HfTokenizer.load(bundle.file("tokenizer.json"), manifest.max_tokens).encode(SENTENCES)
        made[engine] = np.array([runner.scores(text) for text in encoded])
        assert (manifest.name, manifest.labels, manifest.engine) == ("some model", ("a", "b", "c"), engine)
        assert manifest.evaluations == ()
        assert (manifest.reference, manifest.reference_bins) == ({}, {}), "nothing was measured"
    assert np.abs(made["openvino"] - made["torch"]).max() < 1e-5
    assert made["torch"].std(axis=0).min() > 0.01, "all texts score alike, so that nothing was compared"


def test_a_build_is_measured_and_says_what_it_does(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = build(Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts,), licence="Apache-2.0"), said.append)
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest == made.manifest
    assert (manifest.engine, manifest.precision, manifest.provenance.licence) == ("openvino", "int8", "Apache-2.0")
    assert set(manifest.files) == {"model.xml", "model.bin", "tokenizer.json"}
    assert set(manifest.provenance.built_with) == {"nncf", "openvino", "torch", "transformers"}
    (found,) = manifest.evaluations
    assert (found.dataset, found.texts, found.agreement) == ("texts.tsv", len(SENTENCES), 1.0)
    assert 0 < found.score_difference.median <= found.score_difference.max < 0.1
    assert manifest.reference_texts == len(SENTENCES)
    assert set(manifest.reference) == set(manifest.labels)
    assert manifest.reference_bins["tokens"]["16.0"] > 0
    assert comparable(manifest.reference_bins)
    assert said[:2] == [
        "comparing tokens and scores of 28 probing texts with the pipeline of transformers",
        "making the bundle for openvino, int8",
    ]
    assert "the reference's" in said[-1]


def test_a_bundle_holds_no_path_of_the_machine_that_made_it(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    made = build(Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts,)), say_nothing)
    content = b"".join(path.read_bytes() for path in made.folder.iterdir())
    assert str(tmp_path).encode() not in content
    assert str(Path(torch.__file__).parents[1]).encode() not in content


def test_the_same_order_gives_the_same_bytes(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    first, second = (
        build(Order(str(checkpoint), tmp_path / name, evaluate=(texts,)), say_nothing) for name in ("first", "second")
    )
    assert first.manifest == second.manifest


def refused(order: Order) -> str:
    with pytest.raises(BundleError) as caught:
        build(order, say_nothing)
    return caught.value.detail


def test_a_bundle_that_disagrees_with_the_reference_is_not_written(
    checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    split_hairs(checkpoint)
    said = refused(Order(str(checkpoint), tmp_path / "bundles" / "bundle", evaluate=(texts,)))
    assert "tiny is not good enough to publish: " in said
    assert "it agrees with the reference on" in said
    assert not (tmp_path / "bundles").exists()


def test_a_bundle_is_measured_on_each_file_and_one_that_it_fails_is_enough(checkpoint: Path, tmp_path: Path) -> None:
    split_hairs(checkpoint)
    classify = pipeline("text-classification", str(checkpoint), dtype=torch.float32)
    texts = [f"{one} {other}" for one, other in itertools.combinations(WORDS, 2)]
    negative = [found["label"] == "NEGATIVE" for found in classify(texts)]
    assert 10 < sum(negative) < len(texts) - 10
    for name, chosen in (("easy.tsv", True), ("hard.tsv", False)):
        rows = [text for text, found in zip(texts, negative, strict=True) if found == chosen]
        content = "".join(f"{text}\t{int(row == 0)}\n" for row, text in enumerate(rows))
        (tmp_path / name).write_text(content, encoding="utf-8")
    easy, hard = tmp_path / "easy.tsv", tmp_path / "hard.tsv"
    assert build(Order(str(checkpoint), tmp_path / "one", evaluate=(easy,)), say_nothing).manifest.evaluations
    said = refused(Order(str(checkpoint), tmp_path / "bundle", evaluate=(easy, hard), dataset=("the easy", "the hard")))
    assert "texts of the hard" in said
    assert "the easy" not in said
    order = Order(str(checkpoint), tmp_path / "both", precision="fp32", evaluate=(hard, easy), dataset=("two", "one"))
    found = build(order, say_nothing).manifest.evaluations
    counts = [len(negative) - sum(negative), sum(negative)]
    assert [(each.dataset, each.file) for each in found] == [("two", "hard.tsv"), ("one", "easy.tsv")]
    assert [each.texts for each in found] == counts


def test_the_same_weights_pass_in_fp32(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    split_hairs(checkpoint)
    made = build(Order(str(checkpoint), tmp_path / "bundle", precision="fp32", evaluate=(texts,)), say_nothing)
    assert [found.agreement for found in made.manifest.evaluations] == [1.0]


@pytest.mark.parametrize("evaluated", [True, False])
def test_a_bundle_whose_scores_depend_on_the_batch_is_not_written(
    checkpoint: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, evaluated: bool
) -> None:
    infer = OpenVinoEngine.infer

    def infer_with_a_shared_scale(self: OpenVinoEngine, ids: TokenIds, mask: TokenIds) -> Logits:
        return infer(self, ids, mask) * np.float32(1 + 1e-6 * len(ids))

    monkeypatch.setattr(OpenVinoEngine, "infer", infer_with_a_shared_scale)
    # As on a processor on which fp32 does not depend on the batch.
    monkeypatch.setattr("mlapi.engines.arithmetic.has_wide_vectors", lambda _: True)
    evaluate = (texts,) if evaluated else ()
    said = refused(Order(str(checkpoint), tmp_path / "bundle", precision="fp32", evaluate=evaluate))
    assert "depend on the other texts of a batch" in said
    assert not (tmp_path / "bundle").exists()


def test_what_is_there_is_never_overwritten(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    assert "exists already" in refused(Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts,)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in bf16")
def test_a_precision_that_this_machine_cannot_compute_in_is_not_measured(
    checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    order = Order(str(checkpoint), tmp_path / "bundle", engine="torch", precision="bf16", evaluate=(texts,))
    assert "bf16 needs a GPU" in refused(order)


@pytest.mark.parametrize(
    ("engine", "precision", "said"),
    [
        ("torch", "int8", "the engine torch takes the precisions fp32 and bf16"),
        ("openvino", "int8", "int8 changes the scores: measure it"),
        ("openvino", "bf16", "bf16 changes the scores: measure it"),
        ("torch", "bf16", "bf16 changes the scores: measure it"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_at_once(engine: Engine, precision: Precision, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Order("source", Path("bundle"), engine=engine, precision=precision)


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "a\nb"}, {"dataset": ("\t",)}, {"licence": "MIT\x1b[31m"}])
def test_what_a_manifest_shows_has_to_be_printable(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be printable text"):
        Order("source", Path("bundle"), evaluate=(Path("a.tsv"),), **fields)


def test_labels_named_by_numbers_are_measured_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    TinyCheckpoint(labels=("1", "2", "3", "4", "5")).write(folder)
    texts = [f"{one} {other}" for one, other in itertools.combinations(WORDS, 2)]
    found = pipeline("text-classification", str(folder), dtype=torch.float32)(texts)
    path = tmp_path / "texts.tsv"
    rows = (f"{text}\t{each['label']}\n" for text, each in zip(texts, found, strict=True))
    path.write_text("".join(rows), encoding="utf-8")
    order = Order(
        str(folder), tmp_path / "bundle", engine="torch", precision="fp32", evaluate=(path,), labels_are="names"
    )
    assert [each.accuracy for each in build(order, say_nothing).manifest.evaluations] == [1.0]


def test_what_cannot_be_measured_is_not(tmp_path: Path, texts: Path) -> None:
    folder = tmp_path / "single"
    folder.mkdir()
    TinyCheckpoint(labels=("TOXIC",)).write(folder)
    order = Order(str(folder), tmp_path / "bundle", engine="torch", precision="fp32", evaluate=(texts,))
    assert "one label cannot be wrong" in refused(order)
    texts.write_text("good\t1\n\u200b\x07\t0\n", encoding="utf-8")
    order = Order(str(TinyCheckpoint().write(folder)), tmp_path / "bundle", precision="fp32", evaluate=(texts,))
    assert "texts.tsv holds texts without anything to read" in refused(order)


@pytest.mark.parametrize(
    ("evaluate", "dataset", "said"),
    [
        (("a.tsv",), ("one", "two"), "2 names, 1 files"),
        ((), ("one",), "1 names, 0 files"),
        (("a/dev.tsv", "b/dev.tsv"), (), "called alike"),
        (("a.tsv", "b.tsv"), ("same", "same"), "called alike"),
    ],
)
def test_every_data_set_has_a_name_of_its_own(evaluate: tuple[str, ...], dataset: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Order("source", Path("bundle"), evaluate=tuple(map(Path, evaluate)), dataset=dataset, unevaluated=True)


@pytest.mark.parametrize("licence", ["Apache", "my own", "MIT AND", "Apache 2.0"])
def test_a_licence_that_is_no_spdx_identifier_is_refused(licence: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"--licence takes SPDX identifiers.* not '{licence}'"):
        Order("source", Path("bundle"), unevaluated=True, licence=licence)


def test_scales_are_fixed_for_int8_on_openvino_alone() -> None:
    with pytest.raises(ConfigurationError, match="--calibrate is for"):
        Order("source", Path("bundle"), precision="fp32", calibrate=(Path("texts"),))


def test_a_bundle_with_fixed_scales_holds_both_graphs(checkpoint: Path, tmp_path: Path) -> None:
    calibration = tmp_path / "calibration.txt"
    calibration.write_text("\n".join(SENTENCES), encoding="utf-8")
    order = Order(
        str(checkpoint), tmp_path / "bundle", calibrate=(calibration,), unevaluated=True, memory_bytes=123_000_000
    )
    made = build(order, say_nothing)
    (noted,) = made.manifest.provenance.calibration
    assert (noted.file, noted.texts) == ("calibration.txt", len(SENTENCES))
    assert made.manifest.memory_bytes == 123_000_000
    assert {"model.xml", "model.bin", "static.xml", "static.bin"} < set(made.manifest.files)
    with closing(load_engine("openvino", made, 1)) as engine:
        assert (engine.identity.arithmetic == "int8-static") == multiplies_int8_tiles(engine.identity.instruction_set)


def test_no_text_that_is_measured_on_fixes_a_scale(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    order = Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts,), calibrate=(texts,))
    assert f"holds {len(SENTENCES)} texts of texts.tsv" in refused(order)


def test_fixed_scales_are_not_taken_on_trust(
    checkpoint: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = tmp_path / "calibration.txt"
    calibration.write_text("a film\n", encoding="utf-8")
    monkeypatch.setattr("mlapi.engines.openvino.instruction_set", lambda: "x86_64:avx2,avx512f")
    order = Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts,), calibrate=(calibration,))
    assert "measured on a processor with AMX; this one computes in fp32" in refused(order)


def test_a_bundle_that_is_good_enough_on_one_data_set_alone_is_not_written(
    checkpoint: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / "long.tsv"
    rows = (f"{' '.join([text] * 3)}\t{row % 2}\n" for row, text in enumerate(SENTENCES))
    long.write_text("".join(rows), encoding="utf-8")
    infer = OpenVinoEngine.infer

    def infer_long_ones_badly(self: OpenVinoEngine, ids: TokenIds, mask: TokenIds) -> Logits:
        logits = infer(self, ids, mask)
        return logits if ids.shape[1] < 64 else -logits

    assert build(Order(str(checkpoint), tmp_path / "good", evaluate=(texts, long)), say_nothing)
    monkeypatch.setattr(OpenVinoEngine, "infer", infer_long_ones_badly)
    assert build(Order(str(checkpoint), tmp_path / "short", evaluate=(texts,)), say_nothing)
    assert "long.tsv" in refused(Order(str(checkpoint), tmp_path / "bundle", evaluate=(texts, long)))


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, ["build", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_makes_a_bundle_and_shows_it(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    evaluate = ("--evaluate", texts, "--dataset", "tiny set", "--evaluate", texts, "--dataset", "again")
    code, shown, progress = run("--source", checkpoint, "--output", output, "--labels-are", "indices", *evaluate)
    assert code == 0, progress
    assert f"digest      {open_bundle(output).manifest.digest}\n" in shown
    assert "evaluation  tiny set, 7 texts, against the reference\n" in shown
    assert "evaluation  again, 7 texts, against the reference\n" in shown
    assert "agreement   100.00 % of the labels\n" in shown
    assert "mlapi: making the bundle for openvino, int8\n" in progress


def test_the_command_goes_without_an_evaluation_only_when_told_to(checkpoint: Path, tmp_path: Path) -> None:
    code, _, progress = run("--source", checkpoint, "--output", tmp_path / "bundle")
    assert code == 2
    assert "measure it with --evaluate, or say --no-evaluation" in progress
    code, shown, _ = run("--source", checkpoint, "--output", tmp_path / "bundle", "--no-evaluation")
    assert code == 0
    assert "evaluation  none\n" in shown


def test_the_commands_default_precision_for_torch_is_fp32(checkpoint: Path, tmp_path: Path) -> None:
    code, shown, _ = run("--source", checkpoint, "--output", tmp_path / "bundle", "--engine", "torch")
    assert code == 0
    assert "engine      torch, fp32\n" in shown
    assert "file        model.safetensors, " in shown


def test_the_command_says_why_it_fails_without_a_traceback(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    split_hairs(checkpoint)
    code, shown, progress = run("--source", checkpoint, "--output", tmp_path / "bundle", "--evaluate", texts)
    assert (code, shown) == (1, "")
    assert progress.splitlines()[-1].startswith("Error: tiny is not good enough to publish: ")
    assert not (tmp_path / "bundle").exists()


def test_the_shipped_bundle_is_what_its_checkpoint_gives(tmp_path: Path) -> None:
    shipped = open_bundle(DEFAULT_BUNDLE).manifest
    source = shared_folder() / "models" / shipped.provenance.source
    made = build(Order(str(source), tmp_path / "bundle", unevaluated=True), say_nothing).manifest
    # Fixed scales come from a data set, and from sums whose order depends on the processor.
    fixed = {"static.xml", "static.bin"}
    assert made.files == {name: entry for name, entry in shipped.files.items() if name not in fixed}
    assert shipped.files.keys() >= fixed
    assert made.provenance.revision == shipped.provenance.revision
