"""A bundle is opened only if it is whole, and its digest covers whatever can change an answer."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mlapi.bundles.manifest import (
    Evaluation,
    FileEntry,
    Provenance,
    ScoreDifference,
    model_digest,
    parse,
    render,
)
from mlapi.bundles.store import Bundle, open_bundle, write_bundle
from mlapi.errors import BundleError
from tests.manifest_example import manifest_of


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "weights").write_bytes(b"weights")
    (tmp_path / "graph").write_bytes(b"graph")
    content = {"model.bin": tmp_path / "weights", "model.xml": tmp_path / "graph"}
    return write_bundle(tmp_path / "bundle", content, manifest_of)


def test_what_was_written_can_be_opened(bundle: Bundle) -> None:
    assert open_bundle(bundle.folder) == bundle
    assert bundle.file("model.bin").read_bytes() == b"weights"


def test_a_manifest_reads_as_it_was_written(bundle: Bundle) -> None:
    assert parse(render(bundle.manifest)) == bundle.manifest


def test_a_single_evaluation_of_an_older_bundle_is_the_first_of_one(bundle: Bundle) -> None:
    fields = json.loads(render(bundle.manifest))
    fields.pop("evaluations", None)
    assert parse(json.dumps(fields | {"evaluation": None}).encode()).evaluations == ()
    difference = {"median": 0.0, "p99": 0.25, "max": 0.5}
    single = {
        "dataset": "dev",
        "texts": 8,
        "accuracy": 0.5,
        "reference_accuracy": 0.75,
        "agreement": 0.875,
        "score_difference": difference,
    }
    older = parse(json.dumps(fields | {"evaluation": single}).encode())
    assert older.evaluations == (Evaluation("dev", 8, 0.5, 0.75, 0.875, ScoreDifference(**difference)),)
    assert older.digest == bundle.manifest.digest
    assert parse(render(older)) == older
    with pytest.raises(BundleError, match="unknown field `evaluation`"):
        parse(json.dumps(fields | {"evaluation": single, "evaluations": []}).encode())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.bin").unlink(), "No such file"),
        (lambda folder: (folder / "model.bin").write_bytes(b"weight"), "has 6 bytes"),
        (lambda folder: (folder / "model.bin").write_bytes(b"WEIGHTS"), "was changed"),
        (lambda folder: (folder / "bundle.json").unlink(), "not a model bundle"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "bundle.json").write_text('{"schema": 2}'), "reads schema 1"),
    ],
    ids=["missing", "truncated", "changed", "no manifest", "no JSON", "newer schema"],
)
def test_a_damaged_bundle_is_refused(bundle: Bundle, damage: Callable[[Path], object], message: str) -> None:
    damage(bundle.folder)
    with pytest.raises(BundleError, match=message):
        open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", []),
        ("labels", ["a", "a"]),
        ("labels", ["a", ""]),
        ("labels", ["a", "b\n"]),
        ("name", " "),
        ("name", "a\x1b[31m"),
        ("max_tokens", 0),
        ("pad_id", -1),
        ("memory_bytes", 0),
        ("memory_bytes", 1.5),
        ("activation", "relu"),
        ("precision", "int4"),
        ("files", {}),
        ("files", {"../model.bin": {"sha256": "0" * 64, "bytes": 1}}),
        ("files", {"model.bin": {"sha256": "0", "bytes": 1}}),
        ("colour", "red"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(bundle: Bundle, field: str, value: object) -> None:
    fields = json.loads(render(bundle.manifest)) | {field: value}
    with pytest.raises(BundleError):
        parse(json.dumps(fields).encode())


def test_a_bundle_is_never_written_over_another(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(bundle.folder, {}, manifest_of)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        write_bundle(tmp_path / "bundle", {"model.bin": tmp_path / "absent"}, manifest_of)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_listed_is_not_handed_out(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no file model\.safetensors"):
        bundle.file("model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("POSITIVE", "NEGATIVE")},
        {"activation": "sigmoid"},
        {"max_tokens": 256},
        {"pad_id": 1},
        {"engine": "torch"},
        {"precision": "fp32"},
        {"files": {"model.bin": FileEntry("1" * 64, 7)}},
        {"files": {"other.bin": FileEntry("0" * 64, 7)}},
    ],
)
def test_whatever_can_change_an_answer_changes_the_digest(change: dict[str, object]) -> None:
    base = manifest_of({"model.bin": FileEntry("0" * 64, 7)})
    assert msgspec.structs.replace(base, **change).digest != base.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"provenance": Provenance("elsewhere", "x", "MIT", {"torch": "2"})},
        {"memory_bytes": 300_000_000},
        {"cache": "none"},
    ],
)
def test_what_cannot_change_an_answer_does_not(change: dict[str, object]) -> None:
    base = manifest_of({"model.bin": FileEntry("0" * 64, 7)})
    assert msgspec.structs.replace(base, **change).digest == base.digest


def test_the_model_digest_covers_bundle_and_runtime() -> None:
    one, other = (manifest_of({"model.bin": FileEntry(digit * 64, 7)}) for digit in "01")
    runtime = {"name": "openvino", "version": "1", "instruction_set": "x86_64:avx2"}
    digests = {
        model_digest(one, runtime),
        model_digest(other, runtime),
        *(model_digest(one, runtime | {name: "else"}) for name in runtime),
    }
    assert len(digests) == 5
    assert all(len(digest) == 32 for digest in digests)
    assert model_digest(one, dict(reversed(runtime.items()))) == model_digest(one, runtime)
