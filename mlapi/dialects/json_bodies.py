"""What the JSON bodies of all dialects have in common: UTF-8, bounds on texts, and words for what is wrong."""

import codecs
import json
from collections.abc import Sequence
from typing import Final, Never, TypeVar

import msgspec

from mlapi.dialects.base import TextLimits
from mlapi.dialects.problems import MAX_VIOLATIONS
from mlapi.errors import (
    EMPTY,
    BatchTooLargeError,
    InvalidRequestError,
    MalformedJsonError,
    MlapiError,
    Violation,
)

T = TypeVar("T")

BOM: Final = codecs.BOM_UTF8
"""Some clients put it in front of UTF-8; it is no part of the text (RFC 8259, section 8.1)."""

_FRAMES_OF_ASCII: Final = b"\0\xff\xfe"
"""What a first character from ASCII has around it in UTF-16 and UTF-32, byte order marks included."""

_JSON_BEGINS: Final = (b"{", b"[", b'"')


def decode(decoder: msgspec.json.Decoder[T], body: bytes, shape: str) -> T:
    """Read a body; `shape` says what it should have been.

    Raises:
        MalformedJsonError: not JSON in UTF-8.
        InvalidRequestError: another shape, or a member that is not taken.
    """
    try:
        return decoder.decode(body.removeprefix(BOM))
    except msgspec.ValidationError as error:
        raise InvalidRequestError(shape, violations=[Violation(*_fault(str(error)))]) from error
    except RecursionError:
        msg = "it is nested too deeply"
        raise MalformedJsonError(msg) from None
    except (msgspec.DecodeError, ValueError) as error:
        check_encoding(body)
        raise MalformedJsonError(str(error)) from error


def refuse_query(query: bytes) -> None:
    """Refuse a query string, for formats whose parameters are in the body: none is silently dropped.

    Raises:
        InvalidRequestError: there is one.
    """
    if query:
        msg = "this route takes its parameters in the body"
        raise InvalidRequestError(msg)


def words(error: MlapiError) -> str:
    """Return all that an error says in one line, for formats whose errors are one string."""
    return error.detail + "".join(f"; {item.pointer}: {item.detail}" for item in error.violations)


def _fault(reason: str) -> tuple[str, str]:
    """Return the JSON pointer and the words of one of msgspec's messages, which end with ` - at `$.a[1]``."""
    said, _, path = reason.rpartition(" - at `$")
    if not said:
        return "", reason
    return path.rstrip("`").replace("[", ".").replace("]", "").replace(".", "/"), said


def check_encoding(body: bytes) -> None:
    """Name the encoding of a body that cannot be read because it is not in UTF-8.

    Raises:
        MalformedJsonError: JSON in UTF-16 or UTF-32.
    """
    encoding = json.detect_encoding(body[:4])
    if not encoding.startswith("utf-8") and body[:8].strip(_FRAMES_OF_ASCII)[:1] in _JSON_BEGINS:
        msg = f"the body is in {encoding[:6].upper()}; JSON is UTF-8 (RFC 8259, section 8.1)"
        raise MalformedJsonError(msg)


def check_limits(items: Sequence[str], limits: TextLimits, pointer: str, *, bare: bool, within: str = "") -> None:
    """Refuse no text, too many, and too long ones.

    Args:
        items: the texts.
        limits: what a request may hold.
        pointer: where they stand in the body.
        bare: whether that is a single string.
        within: where in its item each text stands, if not the item itself.

    Raises:
        InvalidRequestError: no text, or a too long one.
        BatchTooLargeError: more texts than one request may hold.
    """
    if not items:
        msg = f"{pointer[1:]} must hold at least one text"
        raise InvalidRequestError(msg, violations=[Violation(pointer, EMPTY)])
    if len(items) > limits.texts:
        msg = f"{len(items)} texts; one request may hold {limits.texts}"
        raise BatchTooLargeError(msg)
    longest = max(map(len, items))
    if longest > limits.chars:
        msg = f"a text may have {limits.chars} characters"
        refuse(
            msg,
            [
                Violation(pointer if bare else f"{pointer}/{index}{within}", f"has {len(item)} characters")
                for index, item in enumerate(items)
                if len(item) > limits.chars
            ],
        )


def refuse(detail: str, violations: Sequence[Violation]) -> Never:
    """Refuse a request, and name the first hundred things that are wrong with it.

    Raises:
        InvalidRequestError: always.
    """
    more = len(violations) - MAX_VIOLATIONS
    raise InvalidRequestError(
        detail + (f" (and {more} more)" if more > 0 else ""), violations=violations[:MAX_VIOLATIONS]
    )
