"""Reads files of labelled texts, which a bundle is measured on, and refuses what can be read in two ways."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from mlapi.errors import BundleError

LabelForm: TypeAlias = Literal["names", "indices"]

_HEADERS: Final = frozenset({"sentence\tlabel", "text\tlabel"})
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """A labelled data set.

    Attributes:
        name: what people call it.
        texts: the texts.
        labels: the index of each text's label.
        file: name of the file, without its folder.
        sha256: SHA-256 (hex) of the file.
    """

    name: str
    texts: Sequence[str]
    labels: Sequence[int]
    file: str | None = None
    sha256: str | None = None

    @property
    def repeated(self) -> int:
        """How many texts stand in the set before."""
        return len(self.texts) - len(set(self.texts))


def read_labelled(path: Path, labels: Sequence[str], name: str, form: LabelForm | None = None) -> LabelledTexts:
    """Read a UTF-8 file of lines `text<TAB>label`, where a label is a name or its index among `labels`.

    A first line `sentence<TAB>label` or `text<TAB>label` is a header, as in the files of GLUE. Lines may end in CR LF,
    and the file may start with a byte order mark. Quotation marks are part of the text.

    Args:
        path: the file.
        labels: label names in the order of the model's outputs.
        name: what people call the data set.
        form: whether labels are names or indices; None finds out, as long as there is one way to read the whole file.

    Raises:
        BundleError: the file cannot be read, can be read in two ways, holds no text or texts of one label only, or a
            line is not of that form; names the line.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise BundleError(msg) from error
    lines = [line.removesuffix("\r") for line in lines]
    start = _header_lines(path, lines, labels)
    rows = [line.rpartition("\t") for line in lines[start:]]
    forms = _forms(labels)
    known = forms[form] if form else [*dict.fromkeys((*forms["names"], *forms["indices"]))]
    for number, (text, tab, label) in enumerate(rows, start=start + 1):
        if not tab or not text.strip() or label not in known:
            msg = f"{path}, line {number}: expected text<TAB>label with a label of {', '.join(known)}"
            raise BundleError(msg)
    if not rows:
        msg = f"{path} holds no text"
        raise BundleError(msg)
    texts = [text for text, _, _ in rows]
    _check_columns(path, texts)
    indices = _indices(path, [label for _, _, label in rows], labels, form)
    if len(set(indices)) == 1 and len(labels) > 1:
        msg = f"{path} holds texts of the label {labels[indices[0]]} only: a model that always says so would be right"
        raise BundleError(msg)
    return LabelledTexts(name, texts, indices, path.name, hashlib.sha256(content).hexdigest())


def _header_lines(path: Path, lines: Sequence[str], labels: Sequence[str]) -> int:
    """Return how many lines come before the texts."""
    if lines[0].lower() not in _HEADERS:
        return 0
    if lines[0].rpartition("\t")[2] in labels:
        msg = f"{path}, line 1 can be a header, or a text with a label of the model: leave it out"
        raise BundleError(msg)
    return 1


def _check_columns(path: Path, texts: Sequence[str]) -> None:
    """Refuse a table of more than two columns, and one whose texts a program has put into quotation marks."""
    columns = {text.count("\t") for text in texts}
    if len(texts) > 1 and len(columns) == 1 and columns != {0}:
        msg = f"{path} has {columns.pop() + 2} columns in every line; expected text<TAB>label"
        raise BundleError(msg)
    # A program puts a text into quotation marks if it holds one, which is doubled then, or always.
    quoted = [text for text in texts if '"' in text]
    if quoted and all(_QUOTED.fullmatch(text) for text in quoted):
        doubled = any('""' in text[1:-1] or "\t" in text for text in quoted)
        if doubled or (len(quoted) == len(texts) and len(texts) > 1):
            msg = f"{path} looks quoted, like {quoted[0]}: write it without, because the marks would be read as text"
            raise BundleError(msg)


def _forms(labels: Sequence[str]) -> dict[LabelForm, Mapping[str, int]]:
    return {
        "names": {name: index for index, name in enumerate(labels)},
        "indices": {str(index): index for index in range(len(labels))},
    }


def _indices(path: Path, found: Sequence[str], labels: Sequence[str], form: LabelForm | None) -> list[int]:
    """Translate a column of labels, all of which are known.

    A label that is the name of one output and the index of another is read as the whole column can be read.
    """
    forms = _forms(labels)
    names, indices = forms["names"], forms["indices"]
    values = dict.fromkeys(found)
    unclear = [value for value in values if value in names and indices.get(value, names[value]) != names[value]]
    possible = [known for known in forms.values() if all(value in known for value in values)]
    if form is not None:
        known = forms[form]
    elif not unclear:
        known = {**indices, **names}
    elif len(possible) == 1:
        known = possible[0]
    else:
        msg = (
            f"{path}: {', '.join(unclear)} can be names of labels and indices of other labels: "
            "say --labels-are names or --labels-are indices"
        )
        raise BundleError(msg)
    return [known[value] for value in found]
