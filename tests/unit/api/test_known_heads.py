"""Heads are recognised by all of their bytes, in front of a whole body and of nothing else."""

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.known_heads import Head, KnownHeads
from tests.unit.api.http_wire import post

if TYPE_CHECKING:
    from mlapi.api.shortcut import Shortcut


def head(body_bytes: int) -> Head:
    return Head(cast("Shortcut", None), b"/short", [], b"", body_bytes)


def taught(*requests: bytes, body: bytes = b"hello", max_heads: int = 10) -> KnownHeads:
    heads = KnownHeads(max_heads)
    for request in requests:
        heads.learn(request, head(len(body)), body)
    return heads


@given(st.binary(max_size=12), st.booleans())
def test_only_the_same_head_with_a_whole_body_is_known(rest: bytes, same: bool) -> None:  # noqa: FBT001  drawn
    known = taught(post(b"hello", b"X-Name: value"))
    opening = post(b"", b"X-Name: value" if same else b"X-Name: Value").replace(b"Length: 0", b"Length: 5")
    assert (known.recognise(opening + rest) is not None) == (same and len(rest) == 5)


@given(st.integers(0, 200))
def test_a_part_of_a_request_is_not_known(size: int) -> None:
    request = post(b"hello", b"X-Name: value")
    assert (taught(request).recognise(request[:size]) is not None) == (size >= len(request))


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (post(b"hello") + post(b"hello"), b"hello"),
        (b"\r\n\r\n" + post(b"hello"), b"hello"),
        (post(b"hello").replace(b"Host: test\r\n", b"Host: test\n"), b"hello"),
        (post(b"hello", b"X-Long: " + b"a" * 1024), b"hello"),
        (post(b""), b""),
        (post(b"hello"), b"world"),
        (b"\r\n", b"hello"),
    ],
    ids=["two", "lines before", "a bare line feed", "a long one", "no body", "another body", "no request"],
)
def test_what_is_not_one_short_request_is_not_remembered(data: bytes, body: bytes) -> None:
    assert len(taught(data, body=body)) == 0


def test_however_many_come_few_stay() -> None:
    requests = [post(b"hello", b"X-Request-Id: %d" % number) for number in range(1_000)]
    known = taught(*requests, max_heads=30)
    assert 0 < len(known) <= 30
    assert known.recognise(requests[-1]) is not None
