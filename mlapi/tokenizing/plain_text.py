"""Recognises many texts together as canonical but for their case, which nearly all texts are."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

SEPARATOR: Final = "\x7f"
_SPACE: Final = 0x20
_DELETE: Final = ord(SEPARATOR)


def plain_forms(texts: Sequence[str], *, lowercase: bool, openings: Iterable[str]) -> list[bytes] | None:
    """Return the canonical forms of texts, or None if not all of them are plain.

    Plain is a text of printable ASCII whose words are parted by single spaces, with none at its ends: WordPiece's
    normaliser does no more to it than to fold its case. All texts are looked at as one string, in a few passes of
    machine code, because a call or two for each costs more than the bytes do.

    Args:
        texts: at least one.
        lowercase: whether case is folded.
        openings: characters that no plain text holds, because what they may open is read before case is folded.
    """
    joined = SEPARATOR.join(texts)
    if not joined.isascii() or any(opening in joined for opening in openings):
        return None
    data = joined.encode()
    codes = np.frombuffer(data, np.uint8)
    if not len(codes) or codes.min() < _SPACE:
        return None
    ends = codes == _DELETE
    if np.count_nonzero(ends) != len(texts) - 1:
        return None
    blank = (codes == _SPACE) | ends
    # Two neighbours: an empty text, a space at an end, or two spaces.
    if blank[0] or blank[-1] or (blank[1:] & blank[:-1]).any():
        return None
    return (data.lower() if lowercase else data).split(b"\x7f")
