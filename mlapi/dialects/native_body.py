"""Reads the JSON body of a prediction request and names everything that is wrong with it."""

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Never

import msgspec

from mlapi.dialects.base import TextLimits
from mlapi.dialects.json_bodies import BOM, check_encoding, check_limits, refuse
from mlapi.errors import MalformedJsonError, Violation


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    text: msgspec.Raw


_BODY: Final = msgspec.json.Decoder(_Body)
_TEXT: Final[msgspec.json.Decoder[str | list[str]]] = msgspec.json.Decoder(str | list[str])
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)

_OPENING: Final = b'{"text":'
_CLOSING: Final = b"}"

_FRAME_BYTES: Final = 17
"""Around the value of `text`, fewer bytes cannot hold a second member: `{"text":}` is 9, `"text":0,` another 9."""

_WHITE_SPACE: Final = b" \t\n\r"
_ONE_NAME: Final = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"(?:[^"\\]|\\.)*"[ \t\n\r]*:[ \t\n\r]*')

WRONG_SHAPE: Final = 'the body is not {"text": ["…"]}'

_MAX_REASON_CHARS: Final = 200

_MAX_EXPLAINED_PARTS: Final = 100_000
"""Of a faulty body with more values than about these, only the first fault is named: finding the others means building
Python objects for all of them, which takes seconds and a hundred times the body's size."""

_ITEM: Final = re.compile(r"\$\[(\d+)\]")
"""Where msgspec's messages name an item of a list."""

_MISSING: Final = object()


class Texts(NamedTuple):
    """The texts of a request; `bare` if it was a single string instead of a list."""

    items: Sequence[str]
    bare: bool


def decode_texts(body: bytes, limits: TextLimits) -> Texts:
    """Read `{"text": …}`.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, a duplicate or unknown member, no text, an empty or too long text.
        BatchTooLargeError: more texts than one request may hold.
    """
    try:
        return read_texts(body, limits)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        _explain(body, error)


def read_texts(body: bytes, limits: TextLimits) -> Texts:
    """Read `{"text": …}` without looking for words for what is wrong with it.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: `decode_texts` would say what it is.
        InvalidRequestError: a duplicate member, no text, a too long text.
        BatchTooLargeError: more texts than one request may hold.
    """
    value = _read_value(body)
    bare = isinstance(value, str)
    items = [value] if isinstance(value, str) else value
    check_limits(items, limits, "/text", bare=bare)
    return Texts(items, bare)


def _read_value(body: bytes) -> str | list[str]:
    if body.startswith(_OPENING) and body.endswith(_CLOSING):
        try:
            # One value and nothing else within the braces: there is no second member. The usual spelling in one pass.
            return _TEXT.decode(memoryview(body)[len(_OPENING) : -len(_CLOSING)])
        except msgspec.DecodeError:
            pass
    body = body.removeprefix(BOM)
    raw = _BODY.decode(body).text
    if len(body) - len(raw) > _FRAME_BYTES:
        _check_members(body, bytes(raw))
    return _TEXT.decode(raw)


def _check_members(body: bytes, value: bytes) -> None:
    """Refuse an object that names its member twice: readers disagree on which value counts (RFC 8259, section 4).

    All members are `text`, so there is only one if nothing but its name stands before the last value.
    """
    if not _ONE_NAME.fullmatch(body.rstrip(_WHITE_SPACE)[:-1].rstrip(_WHITE_SPACE)[: -len(value)]):
        refuse("a member is given more than once", [Violation("/text", "is given more than once")])


def _explain(body: bytes, error: Exception) -> Never:
    """Raise for a body that did not decode, naming each bad item where the body is JSON at all."""
    check_encoding(body)
    body = body.removeprefix(BOM)
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MAX_REASON_CHARS]
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_EXPLAINED_PARTS:
        violations = _first_violation(body, reason)
    else:
        try:
            violations = _violations(json.loads(body.decode(), parse_constant=_refuse_constant))
        except (ValueError, RecursionError):
            violations = []
    if violations:
        refuse(WRONG_SHAPE, violations)
    raise MalformedJsonError(reason) from error


def _first_violation(body: bytes, reason: str) -> list[Violation]:
    """Return what msgspec stumbled over, `reason`, if the body is JSON."""
    try:
        _JSON.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return []
    item = _ITEM.search(reason)
    return [Violation(f"/text/{item[1]}" if item else "", reason)]


def _refuse_constant(name: str) -> Never:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)


def _violations(value: object) -> list[Violation]:
    if not isinstance(value, dict):
        return [Violation("", f"must be an object, not {_kind(value)}")]
    found = [Violation(_pointer(name), "is not a member of this request") for name in value if name != "text"]
    text = value.get("text", _MISSING)
    if text is _MISSING:
        found.append(Violation("/text", "is required"))
    elif isinstance(text, list):
        for index, item in enumerate(text):
            found += _text_violations(f"/text/{index}", item, "a string")
    else:
        found += _text_violations("/text", text, "a string or a list of strings")
    return found


def _text_violations(pointer: str, value: object, wanted: str) -> list[Violation]:
    if not isinstance(value, str):
        return [Violation(pointer, f"must be {wanted}, not {_kind(value)}")]
    try:
        value.encode()
    except UnicodeEncodeError:
        return [Violation(pointer, "holds half of a surrogate pair, which is not a character")]
    return []


def _pointer(name: str) -> str:
    """Write a member's name as a JSON pointer (RFC 6901, section 3), cut to a sane length."""
    printable = name[:100].encode(errors="replace").decode()
    return "/" + printable.replace("~", "~0").replace("/", "~1")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
