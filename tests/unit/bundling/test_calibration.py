"""Scales are never fixed by texts that a bundle is measured on."""

import hashlib
from pathlib import Path

import pytest

from mlapi.bundles.manifest import CalibrationFile
from mlapi.bundling.calibration import read_calibration
from mlapi.bundling.labelled import LabelledTexts
from mlapi.errors import BundleError

MEASURED = LabelledTexts("the dev set", ["A fine film .", "dull"], [1, 0])


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_labels_headings_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.tsv", "sentence\tlabel", "good\t1", "", "bad, but long\t0", "plain")
    assert read_calibration([path], [MEASURED]).texts == ["good", "bad, but long", "plain"]


def test_at_most_300_of_each_file_are_taken_from_all_over_it(tmp_path: Path) -> None:
    long, short = write(tmp_path / "a", *map(str, range(1000))), write(tmp_path / "b", "one", "two")
    read = read_calibration([long, short], [])
    found = read.texts
    assert (len(found), found[0], found[249], found[250:]) == (252, "0", "996", ["one", "two"])
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (long, short)]
    assert [*read.files] == [CalibrationFile("a", digests[0], 250), CalibrationFile("b", digests[1], 2)]


@pytest.mark.parametrize("text", ["A fine film .", "a  FINE film . ", "dull\t1"])
def test_a_text_that_is_measured_on_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BundleError, match=r"holds 1 texts of the dev set, such as .*: leave them out"):
        read_calibration([write(tmp_path / "texts", "other", text)], [MEASURED])


def test_a_text_is_refused_though_it_would_not_be_taken(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the dev set"):
        read_calibration([write(tmp_path / "texts", *map(str, range(599)), "dull")], [MEASURED])


@pytest.mark.parametrize("content", [b"", b"sentence\tlabel\n", b"\xff\xfe"])
def test_a_file_without_texts_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "texts").write_bytes(content)
    with pytest.raises(BundleError, match=r"holds no text|cannot be read"):
        read_calibration([tmp_path / "texts"], [])
