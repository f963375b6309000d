"""A checkpoint in a local folder is taken as it is, if it is whole and the expected one."""

# ruff: noqa: E402  the library is imported only where it is installed

import hashlib
from pathlib import Path

import pytest

from tests.engine_checkpoints import need_pipeline

need_pipeline()

from mlapi.bundling.pull import CONFIG, WEIGHTS, Checkpoint, pull
from mlapi.errors import BundleError

pytestmark = pytest.mark.torch

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    folder.mkdir()
    for name in (CONFIG, WEIGHTS, "tokenizer.json"):
        (folder / name).write_bytes(CONTENT)
    return folder


def test_a_folder_is_named_by_its_last_part_and_pinned_by_its_weights(folder: Path) -> None:
    assert pull(f"{folder}/.", say=print) == Checkpoint(folder, "a model", SHA256, (folder / WEIGHTS,))


def test_the_expected_sha256_is_compared(folder: Path) -> None:
    assert pull(str(folder), sha256=SHA256, say=print).revision == SHA256
    with pytest.raises(BundleError, match=f"has the sha256 {SHA256}, not the expected {'0' * 64}"):
        pull(str(folder), sha256="0" * 64, say=print)


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(BundleError, match="has no revisions"):
        pull(str(folder), revision="main", say=print)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "tokenizer.json"])
def test_a_folder_that_is_not_whole_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match="has no"):
        pull(str(folder), say=print)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(BundleError, match=r"pytorch_model\.bin is refused, because loading a pickle runs its code"):
        pull(str(folder), say=print)


@pytest.mark.parametrize("source", ["./missing", "/no/such/folder", "three/part/name", "owner/", "-rf"])
def test_what_is_neither_a_folder_nor_an_id_is_refused(source: str) -> None:
    with pytest.raises(BundleError, match="neither a folder nor the id of a model on a hub"):
        pull(source, say=print)
