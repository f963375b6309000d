"""Reads files of labelled texts, which a bundle is measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlapi.errors import BundleError


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


def read_labelled(path: Path, labels: Sequence[str], name: str) -> LabelledTexts:
    """Read a UTF-8 file of lines `text<TAB>label`, where a label is a name or its index among `labels`.

    A first line `sentence<TAB>label` is a header, as in the files of GLUE.

    Args:
        path: the file.
        labels: label names in the order of the model's outputs.
        name: what people call the data set.

    Raises:
        BundleError: the file cannot be read, holds no text, or a line is not of that form; names the line.
    """
    known = {name: index for index, name in enumerate(labels)} | {str(index): index for index in range(len(labels))}
    texts, truths = [], []
    try:
        content = path.read_bytes()
        lines = content.decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise BundleError(msg) from error
    for number, line in enumerate(lines, start=1):
        if number == 1 and line == "sentence\tlabel":
            continue
        text, tab, label = line.rpartition("\t")
        if not tab or not text or label not in known:
            msg = f"{path}, line {number}: expected text<TAB>label with a label of {', '.join(known)}"
            raise BundleError(msg)
        texts.append(text)
        truths.append(known[label])
    if not texts:
        msg = f"{path} holds no text"
        raise BundleError(msg)
    return LabelledTexts(name, texts, truths, path.name, hashlib.sha256(content).hexdigest())
