"""Files of labelled texts are read in one way or refused with the line that is wrong."""

import hashlib
from pathlib import Path

import pytest

from mlapi.errors import BundleError
from mlapi.pipeline.labelled import read_labelled

LABELS = ("NEGATIVE", "POSITIVE")


def write(folder: Path, content: str) -> Path:
    path = folder / "texts.tsv"
    path.write_text(content, encoding="utf-8")
    return path


def test_labels_are_names_or_indices_and_a_header_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, "sentence\tlabel\ngood\t1\ntabs\tare text\tNEGATIVE\nfine\u2028still\tPOSITIVE\n")
    data = read_labelled(path, LABELS, "mine")
    assert (data.name, data.texts, data.labels) == ("mine", ["good", "tabs\tare text", "fine\u2028still"], [1, 0, 1])
    assert (data.file, data.sha256) == ("texts.tsv", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("good\t1\nbad", "line 2: expected text<TAB>label with a label of NEGATIVE, POSITIVE, 0, 1"),
        ("good\t2\n", "line 1"),
        ("\t1\n", "line 1"),
        ("good\tpositive\n", "line 1"),
        ("good\t1\n\nbad\t0\n", "line 2"),
        ("sentence\tlabel\n", "holds no text"),
    ],
    ids=["no label", "no such index", "no text", "no such name", "an empty line", "only a header"],
)
def test_a_line_that_is_not_labelled_text_is_named(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        read_labelled(write(tmp_path, content), LABELS, "mine")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.tsv").write_bytes(b"caf\xe9\t1\n")
    for name in ("latin.tsv", "missing.tsv"):
        with pytest.raises(BundleError, match=f"{name} cannot be read"):
            read_labelled(tmp_path / name, LABELS, "mine")
