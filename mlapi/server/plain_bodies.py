"""Reads the commonest of bodies in its bytes: short, ASCII, without escapes, its texts canonical but for their case."""

from typing import Final

MAX_BODY_BYTES: Final = 4096
"""Of a longer body the decoder is not what costs most."""

_NOT_PLAIN: Final = bytes([*range(0x20), 0x7F, *range(0x80, 0x100)]) + b"\\"
"""Control characters, which JSON has only as escapes; what is not ASCII; and what opens an escape."""

_LIST: Final = (b":[", b": [")
_STRING: Final = (b":", b": ")
_COMMAS: Final = frozenset({b",", b", "})
_BRACKET: Final = b"["
"""Opens the list of texts; within a text, it could open one of the tokens that are looked for before case is folded."""

_AROUND_ONE: Final = 5
"""Parts of a body with one text: what is around its name and itself, and these two."""

_SPACE: Final = 0x20


def read_forms(body: bytes, fold: bytes) -> list[bytes] | None:
    """Return the canonical forms of a body's texts, or None if it takes a closer look to tell.

    Without an escape, a quotation mark is nothing but an end of a string (RFC 8259, section 7): the body, cut at them,
    is the texts and what stands between, which has to be what JSON has there. Texts that hold a bracket, or spaces at
    an end or side by side, are not plain.

    Args:
        body: `{"text": …}`, perhaps.
        fold: the tokenizer's `ascii_fold`.
    """
    folded = body.translate(fold, _NOT_PLAIN)
    if len(folded) < len(body) or not body.startswith(b'{"text"') or folded.find(b"  ") >= 0:
        return None
    parts = folded.split(b'"')
    if len(parts) == _AROUND_ONE and parts[4] == b"}":
        framed = parts[2] in _STRING and _BRACKET not in folded
    else:
        framed = (
            parts[-1] == b"]}"
            and len(parts) % 2 == 1
            and parts[2] in _LIST
            and folded.count(_BRACKET) == 1
            and _COMMAS.issuperset(parts[4:-1:2])
        )
    if not framed:
        return None
    forms = parts[3::2]
    for form in forms:
        if not form or form[0] == _SPACE or form[-1] == _SPACE:
            return None
    return forms
