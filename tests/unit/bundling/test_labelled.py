"""Files of labelled texts are read in one way or refused with the line that is wrong."""

import hashlib
from pathlib import Path

import pytest

from mlapi.bundling.labelled import read_labelled
from mlapi.errors import BundleError

LABELS = ("NEGATIVE", "POSITIVE")
STARS = ("1", "2", "3", "4", "5")


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


def test_names_that_look_like_indices_are_names(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"text {label}\t{label}\n" for label in "12345"))
    assert read_labelled(path, STARS, "mine").labels == [0, 1, 2, 3, 4]


def test_a_column_that_only_indices_explain_is_one_of_indices(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"text {label}\t{label}\n" for label in "01234"))
    assert read_labelled(path, STARS, "mine").labels == [0, 1, 2, 3, 4]


def test_names_that_are_their_own_indices_are_clear(tmp_path: Path) -> None:
    path = write(tmp_path, "bad\t0\ngood\t1\n")
    assert read_labelled(path, ("0", "1"), "mine").labels == [0, 1]
    assert read_labelled(path, ("0", "1", "x"), "mine", "names").labels == [0, 1]


@pytest.mark.parametrize("found", ["1234", "34", "123", "0512"])
def test_a_column_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, found: str) -> None:
    path = write(tmp_path, "".join(f"text {label}\t{label}\n" for label in found))
    with pytest.raises(BundleError, match=r"texts\.tsv: .* say --labels-are names or --labels-are indices"):
        read_labelled(path, STARS, "mine")
    if found != "0512":
        assert read_labelled(path, STARS, "mine", "names").labels == [int(label) - 1 for label in found]
        assert read_labelled(path, STARS, "mine", "indices").labels == [int(label) for label in found]


def test_a_label_of_the_other_form_is_refused_when_the_form_is_given(tmp_path: Path) -> None:
    path = write(tmp_path, "bad\t1\ngood\tNEGATIVE\n")
    with pytest.raises(BundleError, match=r"line 1: expected text<TAB>label with a label of NEGATIVE, POSITIVE$"):
        read_labelled(path, LABELS, "mine", "names")
    with pytest.raises(BundleError, match=r"line 2: expected text<TAB>label with a label of 0, 1$"):
        read_labelled(path, LABELS, "mine", "indices")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfgood\t1\nbad\t0\n",
        b"good\t1\r\nbad\t0\r\n",
        b"\xef\xbb\xbfsentence\tlabel\r\ngood\t1\r\nbad\t0",
        b"text\tlabel\ngood\t1\nbad\t0\n",
        b"Sentence\tLabel\ngood\t1\nbad\t0\n",
    ],
    ids=["byte order mark", "CR LF", "both and a header", "another header", "a header in capitals"],
)
def test_what_programs_add_to_a_file_is_no_part_of_its_texts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "texts.tsv").write_bytes(content)
    data = read_labelled(tmp_path / "texts.tsv", LABELS, "mine")
    assert (data.texts, data.labels) == (["good", "bad"], [1, 0])


def test_a_header_that_could_be_a_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "sentence\tlabel\ngood\tother\nbad\tlabel\n")
    with pytest.raises(BundleError, match="line 1 can be a header, or a text with a label of the model"):
        read_labelled(path, ("label", "other"), "mine")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1\tgood\t1\n2\tbad\t0\n", "3 columns in every line"),
        ('"so ""good"""\t1\nbad\t0\n', "looks quoted"),
        ('"good"\t1\n"bad"\t0\n', "looks quoted"),
        ('"two\tcolumns"\t1\nbad\t0\n', "looks quoted"),
        ("   \t1\nbad\t0\n", "line 1"),
        ("good\t1\nfine\t1\n", "texts of the label POSITIVE only"),
    ],
    ids=["a table", "quoted where needed", "all quoted", "a quoted tab", "only white space", "one label"],
)
def test_a_file_that_would_be_read_wrongly_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        read_labelled(write(tmp_path, content), LABELS, "mine")


def test_quotation_marks_of_a_text_are_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, '"good" is what "they" said\t1\n"bad"\t0\nso ""bad""\t0\n')
    assert read_labelled(path, LABELS, "mine").texts == ['"good" is what "they" said', '"bad"', 'so ""bad""']


def test_a_text_that_stands_there_twice_is_counted_as_repeated(tmp_path: Path) -> None:
    data = read_labelled(write(tmp_path, "good\t1\nbad\t0\ngood\t1\ngood\t0\n"), LABELS, "mine")
    assert (len(data.texts), data.repeated) == (4, 2)
