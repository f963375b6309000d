"""Bodies are read exactly, and every bad item is named."""

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.dialects.base import TextLimits
from mlapi.dialects.native_body import decode_texts
from mlapi.errors import BatchTooLargeError, InvalidRequestError, MalformedJsonError

LIMITS = TextLimits(texts=4, chars=20)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(texts, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, 2, 16]))
def test_whatever_json_spells_is_read_back(items: list[str], ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001
    body = json.dumps({"text": items}, ensure_ascii=ascii_only, indent=indent).encode()
    decoded = decode_texts(body, LIMITS)
    assert (list(decoded.items), decoded.bare) == (items, False)


@pytest.mark.parametrize("body", [b'{"text":"a"}', b' {"text": ["a"]}\n', b'{\n"text":"\xef\xbb\xbfa"}'])
def test_a_byte_order_mark_before_utf_8_is_ignored(body: bytes) -> None:
    assert decode_texts(codecs.BOM_UTF8 + body, LIMITS) == decode_texts(body, LIMITS)


def test_behind_a_byte_order_mark_faults_are_named_as_without_it() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        decode_texts(codecs.BOM_UTF8 + b'{"text":[1,"a"],"x":0}', LIMITS)
    assert [item.pointer for item in refused.value.violations] == ["/x", "/text/0"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_another_encoding_of_unicode_is_named(encoding: str) -> None:
    with pytest.raises(MalformedJsonError, match=f"the body is in {encoding[:6].upper()}; JSON is UTF-8"):
        decode_texts('{"text":["a"]}'.encode(encoding), LIMITS)


@pytest.mark.parametrize("body", [b"a\0", b"\0\0\0\0", b"\0", b"\xff\xfe", b"\x1f\x8b\x08\0"])
def test_other_bytes_are_not_taken_for_unicode(body: bytes) -> None:
    with pytest.raises(MalformedJsonError, match=r"^(?!.*UTF-(16|32))"):
        decode_texts(body, LIMITS)


@given(texts)
def test_a_bare_string_is_a_list_of_one(item: str) -> None:
    decoded = decode_texts(json.dumps({"text": item}).encode(), LIMITS)
    assert (list(decoded.items), decoded.bare) == ([item], True)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"text":[1,"a",null,{}]}', ["/text/0", "/text/2", "/text/3"]),
        (b'{"text":7}', ["/text"]),
        (b'{"text":1e999}', ["/text"]),
        (b'{"text":null}', ["/text"]),
        (b"{}", ["/text"]),
        (b"[]", [""]),
        (b'"text"', [""]),
        (b"null", [""]),
        (b'{"texts":["a"]}', ["/texts", "/text"]),
        (b'{"text":"a","a/b~c":1}', ["/a~1b~0c"]),
        (b'{"text":"a","text":"b"}', ["/text"]),
        (b'{"text":"a","te\\u0078t":"b"}', ["/text"]),
        (b'{"text":0,"text":""}', ["/text"]),
        (b'{"text":[]}', ["/text"]),
        (b'{"text":["\\ud800"]}', ["/text/0"]),
        (b'{"text":"a\\udc00b"}', ["/text"]),
        (b'{"text":["aaaaaaaaaaaaaaaaaaaaaaaa","b"]}', ["/text/0"]),
        (b'{"text":"aaaaaaaaaaaaaaaaaaaaaaaa"}', ["/text"]),
    ],
)
def test_each_bad_item_is_pointed_at(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        decode_texts(body, LIMITS)
    assert [item.pointer for item in refused.value.violations] == pointers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b'{"text":"a"',
        b'{"text":"a"} x',
        b'{"text":NaN}',
        b'{"text":[Infinity]}',
        b'{"text":"a\x00b"}',
        b'{"text":"\xff"}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"text":"a"}',
        b'{"text":' + b"[" * 200_000,
        b"[" * 200_000,
        b'{"text":"a","b":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        decode_texts(body, LIMITS)


def test_too_many_texts_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(BatchTooLargeError, match="5 texts; one request may hold 4"):
        decode_texts(b'{"text":["a","b","c","d",""]}', LIMITS)


def test_a_body_of_nothing_but_duplicates_is_refused_quickly() -> None:
    body = b"{" + b",".join([b'"text":""'] * 300_000) + b"}"
    with pytest.raises(InvalidRequestError, match="more than once"):
        decode_texts(body, LIMITS)


def test_no_more_violations_are_listed_than_anyone_reads() -> None:
    with pytest.raises(InvalidRequestError, match="and 400 more") as refused:
        decode_texts(json.dumps({"text": [0] * 500}).encode(), TextLimits(1000, 20))
    assert len(refused.value.violations) == 100
