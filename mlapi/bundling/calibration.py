"""Reads the texts by which scales are fixed, and refuses those that a bundle is measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlapi.bundles.manifest import CalibrationFile
from mlapi.bundling.labelled import LabelledTexts
from mlapi.errors import BundleError

_HEADERS: Final = frozenset({"sentence", "text"})
_MOST: Final = 300
"""Texts taken of a file, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Texts by which scales are fixed, and the files that they were read from."""

    texts: Sequence[str]
    files: tuple[CalibrationFile, ...]


def read_calibration(paths: Sequence[Path], evaluation: Sequence[LabelledTexts]) -> Calibration:
    """Read UTF-8 files of a text a line; what follows a tab, such as a label, and a line of headings are left out.

    Texts should be as long as those that will be classified, long ones included: scales that were fixed by short ones
    alone fit long ones badly.

    Args:
        paths: the files.
        evaluation: what the bundle will be measured on.

    Returns:
        At most 300 texts of each file.

    Raises:
        BundleError: a file cannot be read or holds no text, or one of its texts is among those to measure on, whatever
            their case and the spaces around them: the measurement would be too good.
    """
    measured = {_plain(text): data.name for data in evaluation for text in data.texts}
    found: list[str] = []
    files = []
    for path in paths:
        texts, sha256 = read_texts(path)
        both = [text for text in texts if _plain(text) in measured]
        if both:
            name = measured[_plain(both[0])]
            msg = f"{path} holds {len(both)} texts of {name}, such as {both[0][:60]!r}: leave them out"
            raise BundleError(msg)
        taken = texts[:: -(-len(texts) // _MOST)]
        found += taken
        files.append(CalibrationFile(path.name, sha256, len(taken)))
    return Calibration(found, tuple(files))


def read_texts(path: Path) -> tuple[list[str], str]:
    """Read a UTF-8 file of a text a line, as above; return its texts and its SHA-256 (hex).

    Raises:
        BundleError: it cannot be read or holds no text.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise BundleError(msg) from error
    texts = [text for text in (line.partition("\t")[0] for line in lines) if text.strip()]
    if texts and texts[0].lower() in _HEADERS:
        del texts[0]
    if not texts:
        msg = f"{path} holds no text"
        raise BundleError(msg)
    return texts, hashlib.sha256(content).hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
