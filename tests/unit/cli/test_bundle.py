"""`mlapi bundle inspect` and `verify` tell people and machines what a bundle is, and whether it is still that."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from mlapi.bundles.manifest import (
    CalibrationFile,
    Evaluation,
    FileEntry,
    Manifest,
    Provenance,
    ScoreDifference,
    parse,
    render,
)
from mlapi.bundles.store import Bundle, open_bundle, read_manifest, write_bundle
from mlapi.cli.bundle import bundle as command
from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.fake import FakeEngine
from mlapi.errors import BundleError
from mlapi.observability.drift import BOUNDS, comparable
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.architecture.source_rules import ROOT
from tests.manifest_example import manifest_of

EVALUATION = Evaluation("made up", 200, 0.875, 0.88, 0.995, ScoreDifference(0.0001, 0.02, 0.3))
LONG = Evaluation("long", 50, 0.9, 0.88, 1.0, ScoreDifference(0, 0.01, 0.02), "long.tsv", "a" * 64, 2, 48)


def write(folder: Path, *evaluations: Evaluation) -> Bundle:
    for name in ("model.bin", "model.xml"):
        (folder / name).write_bytes(name.encode() * 1000)

    def manifest(entries: Mapping[str, FileEntry]) -> Manifest:
        provenance = Provenance(
            "owner/example",
            "0" * 40,
            "MIT",
            {"torch": "2", "nncf": "3"},
            calibration=(CalibrationFile("mixed.txt", "c" * 64, 300),),
        )
        return manifest_of(
            entries, name="example", labels=("NO", "YES"), provenance=provenance, evaluations=evaluations
        )

    return write_bundle(folder / "bundle", {name: folder / name for name in ("model.bin", "model.xml")}, manifest)


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, [*map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_inspect_shows_all_that_people_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlapi.cli.bundle.instruction_set", lambda: "x86_64:avx2,avx512_vnni,avx512f")
    monkeypatch.setattr("mlapi.cli.bundle.usable_processors", lambda: 2)
    bundle = write(tmp_path, EVALUATION, LONG)
    assert run("inspect", bundle.folder) == (
        0,
        f"""\
name        example
digest      {bundle.manifest.digest}
labels      NO, YES (softmax)
reads       up to 512 tokens
engine      openvino, int8
cache       in-process and shared
computes    in int8-dynamic here, 1 x 2 threads: int8 arithmetic without AMX, or without scales for it
file        model.bin, 0.01 MB
file        model.xml, 0.01 MB
made from   owner/example at {"0" * 40}
licence     MIT
made with   nncf 3, torch 2
calibration 300 texts of mixed.txt
evaluation  made up, 200 texts, against the reference
accuracy    0.8750 (reference 0.8800)
agreement   99.50 % of the labels
scores      apart by 0.0001 (median), 0.0200 (p99), 0.3000 (max)
evaluation  long, 50 texts, against the reference
from        long.tsv, sha256 {"a" * 64}
of them     2 repeated, 48 longer than the model reads
accuracy    0.9000 (reference 0.8800)
agreement   100.00 % of the labels
scores      apart by 0.0000 (median), 0.0100 (p99), 0.0200 (max)
""",
        "",
    )


def test_inspect_says_that_nothing_was_measured(tmp_path: Path) -> None:
    assert run("inspect", write(tmp_path).folder)[1].endswith("evaluation  none\n")


def test_inspect_gives_machines_the_manifest_and_its_digest(tmp_path: Path) -> None:
    bundle = write(tmp_path, EVALUATION, LONG)
    code, shown, _ = run("inspect", "--json", bundle.folder)
    described = json.loads(shown)
    assert code == 0
    assert described.pop("digest") == bundle.manifest.digest
    assert described == json.loads((bundle.folder / "bundle.json").read_text(encoding="utf-8"))


def test_the_default_is_the_shipped_bundle() -> None:
    code, shown, _ = run("inspect", "--json")
    assert code == 0
    assert json.loads(shown)["digest"] == open_bundle(DEFAULT_BUNDLE).manifest.digest
    assert run("verify") == (
        0,
        "ok     model.bin\nok     model.xml\nok     static.bin\nok     static.xml\nok     tokenizer.json\n",
        "",
    )


def test_verify_lists_every_file_and_fails_for_one(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    changed = bundle.folder / "model.bin"
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    code, shown, failure = run("verify", bundle.folder)
    wrong, right = shown.splitlines()
    assert wrong.startswith("wrong  model.bin: ")
    assert "was changed: sha256" in wrong
    assert right == "ok     model.xml"
    assert (code, failure) == (1, "mlapi: 1 of 2 files are wrong\n")


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_verify_finds_a_missing_file(tmp_path: Path, name: str) -> None:
    bundle = write(tmp_path)
    (bundle.folder / name).unlink()
    code, shown, _ = run("verify", bundle.folder)
    assert code == 1
    assert f"wrong  {name}: " in shown


class OddEngine(FakeEngine):
    """Scores differently in one shape of batch alone."""

    batch_tokens = 64

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        return super().infer(ids, mask) + np.float32((ids.shape == (2, 24)) * 1e-6)


class SingleEngine(FakeEngine):
    """Claims nothing."""

    batch_invariant = False


@pytest.mark.parametrize(
    ("engine", "code", "shown"),
    [
        (
            OddEngine(2),
            1,
            "differs  2 texts of 24 padded tokens\n11 of 12 shapes of batches keep every bit, in fp32 on any\n",
        ),
        (SingleEngine(2), 0, "texts are computed one by one here, in fp32 on any: there is nothing to compare\n"),
    ],
)
def test_scan_computes_every_shape_and_names_those_that_differ(
    engine: FakeEngine, code: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlapi.engines.registry.load_engine", lambda *_: engine)
    assert run("scan", write(tmp_path).folder)[:2] == (code, shown)


def test_scan_of_a_bundle_of_ours_finds_nothing() -> None:
    code, shown, _ = run("scan", LAB_BUNDLE)
    assert code == 0
    checked = re.fullmatch(r"([0-9]+) of \1 shapes of batches keep every bit, in .+\n", shown)
    assert checked
    assert int(checked[1]) > 100


class TestRefer:
    """What drift is measured against can be written into a bundle that is there."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(LAB_BUNDLE, tmp_path / "bundle"))

    def test_the_labels_of_all_files_are_counted_and_no_digest_changes(self, folder: Path, tmp_path: Path) -> None:
        before = read_manifest(folder)
        texts, labelled = tmp_path / "texts", tmp_path / "labelled.tsv"
        texts.write_text("terrible\nwonderful\nawful\n", encoding="utf-8")
        labelled.write_text("sentence\tlabel\ndull\t1\n", encoding="utf-8")
        code, said, error = run("refer", folder, "--texts", texts, "--texts", labelled, "--threads", "1")
        assert (code, said) == (0, f"{folder}: NEGATIVE 0.7500, POSITIVE 0.2500 of 4 texts\n"), error
        after = read_manifest(folder)
        assert after.reference == {"NEGATIVE": 0.75, "POSITIVE": 0.25}
        assert after.digest == before.digest
        assert after.reference_texts == 4
        assert {feature: sum(bins.values()) for feature, bins in after.reference_bins.items()} == pytest.approx(
            dict.fromkeys(BOUNDS, 1.0)
        )
        assert after.reference_bins["tokens"]["4.0"] == 1.0
        assert comparable(after.reference_bins)
        told = {name: getattr(before, name) for name in ("reference", "reference_bins", "reference_texts")}
        assert msgspec.structs.replace(after, **told) == before
        content = (folder / "bundle.json").read_bytes()
        assert run("refer", folder, "--texts", texts, "--texts", labelled)[0] == 0
        assert (folder / "bundle.json").read_bytes() == content
        assert "answers     NEGATIVE 0.7500, POSITIVE 0.2500 of the texts" in run("inspect", folder)[1]
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in LAB_BUNDLE.iterdir())

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "holds no text"), (b"text\n", "holds no text"), (b"\xff\n", "cannot be read")],
    )
    def test_what_cannot_be_counted_leaves_the_bundle_alone(
        self, folder: Path, tmp_path: Path, content: bytes, said: str
    ) -> None:
        before = (folder / "bundle.json").read_bytes()
        (tmp_path / "texts").write_bytes(content)
        code, _, error = run("refer", folder, "--texts", tmp_path / "texts")
        assert (code, said in error) == (1, True), error
        assert (folder / "bundle.json").read_bytes() == before

    def test_a_bundle_that_was_changed_gets_none(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "texts").write_text("good\n", encoding="utf-8")
        (folder / "idf.npy").write_bytes(b"")
        code, _, error = run("refer", folder, "--texts", tmp_path / "texts")
        assert (code, "idf.npy has 0 bytes" in error) == (1, True), error
        assert run("refer", folder)[0] == 2

    @pytest.mark.parametrize("shipped", [DEFAULT_BUNDLE, LAB_BUNDLE], ids=lambda path: path.name)
    def test_the_shipped_bundles_carry_it(self, shipped: Path) -> None:
        manifest = read_manifest(shipped)
        assert set(manifest.reference) == {"NEGATIVE", "POSITIVE"}
        assert manifest.reference_texts == 872
        assert set(manifest.reference_bins) == set(BOUNDS)
        assert comparable(manifest.reference_bins)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"reference_bins": {"score": {"+Inf": 0.9}}}, "every bin of a feature its share"),
            ({"reference_texts": None}, "on how many texts"),
        ],
    )
    def test_shares_that_cannot_be_are_refused(self, folder: Path, changed: dict[str, Any], said: str) -> None:
        wrong = msgspec.structs.replace(read_manifest(folder), **changed)
        with pytest.raises(BundleError, match=said):
            parse(render(wrong))


@pytest.mark.parametrize("subcommand", ["inspect", "verify", "scan"])
def test_what_is_no_bundle_is_an_error_without_a_traceback(tmp_path: Path, subcommand: str) -> None:
    assert run(subcommand, tmp_path) == (
        1,
        "",
        f"Error: {tmp_path} is not a model bundle: bundle.json: No such file or directory\n",
    )


def test_wrong_usage_is_told_apart_from_failure(tmp_path: Path) -> None:
    assert run("build")[0] == 2
    assert run("build", "--source", tmp_path, "--output", tmp_path / "out", "--precision", "int3")[0] == 2
    assert run("build", "--source", tmp_path, "--output", tmp_path / "out", "--evaluate", tmp_path / "none.tsv")[0] == 2


def test_build_without_its_libraries_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from mlapi.cli.group import main; main()"
    arguments = ["bundle", "build", "--source", str(tmp_path), "--output", str(tmp_path / "out"), "--no-evaluation"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "Error: making bundles needs the package torch: pip install 'mlapi[pipeline]'\n"


def test_showing_and_verifying_import_no_heavy_library() -> None:
    code = """
import sys
from click.testing import CliRunner
from mlapi.cli.group import main
for command in ("inspect", "verify"):
    assert CliRunner().invoke(main, ["bundle", command]).exit_code == 0
print([name for name in ("openvino", "torch", "transformers", "nncf", "huggingface_hub") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
