"""Cuts texts that are longer than a model reads into windows, at places that follow from the words around them.

A window ends at the end of a sentence where there is one in the second half of what fits. Of several such places the
one is taken whose last characters have the smallest hash, wherever the window began. So after an edit the next windows
end where they did before, and only those are new that the edit lies in; were they filled to the brim, all that follow
would be. Content-defined chunking does the same for files (Xia et al., "FastCDC", USENIX Annual Technical Conference,
2016).
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

Spans: TypeAlias = Sequence[tuple[int, int]]
"""Where tokens stand in a text: characters, from and to."""

_SENTENCE: Final = 0
_WORD: Final = 1
_TOKEN: Final = 2
_INSIDE: Final = 3
"""What ends in front of a token, the best place for a cut first. A character of several tokens is not divided."""

_ENDS: Final = frozenset(".!?\u2026")
_WIDE_ENDS: Final = frozenset("\u3002\uff01\uff1f")
_CLOSING: Final = frozenset("\"')]}\u201d\u2019\u00bb")

_OVERLAP: Final = 8
"""A window repeats at most that part of what fits, so that its first words have some context."""

_SLACK: Final = 8
"""Tokens by which a piece of a text may have more alone than within it, where it begins in the middle of a word."""

_HASHED: Final = 32


def windows(text: str, spans: Spans, room: int) -> list[str]:
    """Return the windows of a text, in order; the text itself if it fits.

    Args:
        text: the text.
        spans: where its tokens stand, those that would be cut off too, special ones left out.
        room: how many tokens fit into a window, special ones not counted.
    """
    if len(spans) <= room:
        return [text]
    overlap = room // _OVERLAP
    most = max(1, room - overlap - _SLACK)
    least = max(1, most // 2)
    found = []
    start = begin = 0
    while len(spans) - start > most:
        end = _cut(text, spans, start + least, start + most)
        found.append(text[spans[begin][0] : spans[end - 1][1]])
        start, begin = end, _step_back(text, spans, end, overlap)
    found.append(text[spans[begin][0] : spans[-1][1]])
    return found


def _cut(text: str, spans: Spans, least: int, most: int) -> int:
    """Return the number of the token that the next window begins with, between two numbers."""
    places: dict[int, list[int]] = {}
    for index in range(least, most + 1):
        places.setdefault(_place(text, spans, index), []).append(index)
    best = places[min(places)]
    return min(best, key=lambda index: _hash(text, spans[index - 1][1]))


def _step_back(text: str, spans: Spans, end: int, overlap: int) -> int:
    """Return the token from which a window repeats what stands before its own first one."""
    earliest = max(1, end - overlap)
    places = [(_place(text, spans, index), index) for index in range(earliest, end)]
    return min(places, default=(0, end))[1] if places and min(places)[0] < _TOKEN else end


def _place(text: str, spans: Spans, index: int) -> int:
    """Return what ends in front of a token."""
    before, after = spans[index - 1][1], spans[index][0]
    if after < before:
        return _INSIDE
    last = text[before - 1 : before]
    # Some tokenizers count the space in front of a word as its first character.
    gap = text[before : after + 1]
    if not any(map(str.isspace, gap)):
        return _SENTENCE if last in _WIDE_ENDS else _TOKEN
    if "\n" in gap or last in _ENDS or last in _WIDE_ENDS:
        return _SENTENCE
    return _SENTENCE if last in _CLOSING and text[before - 2 : before - 1] in _ENDS else _WORD


def _hash(text: str, end: int) -> bytes:
    return blake2b(text[max(0, end - _HASHED) : end].encode(errors="replace"), digest_size=8).digest()
