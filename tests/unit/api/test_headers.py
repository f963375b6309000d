"""Request headers are read with suspicion, response headers follow their RFCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.headers import (
    RequestIds,
    cache_directives,
    cache_status,
    check_content_type,
    read_head,
    server_timing,
)
from mlapi.errors import UnsupportedMediaError
from mlapi.predictions import SourceCounts


def test_the_head_is_what_matters_of_the_headers() -> None:
    head = read_head(
        [(b"host", b"x"), (b"content-length", b"3"), (b"x-forwarded-for", b"10.1.1.1")],
        client_header=b"x-forwarded-for",
    )
    assert (head.content_length, head.client, head.content_type) == (b"3", b"10.1.1.1", b"")


def test_directives_may_come_in_several_fields() -> None:
    fields = [(b"cache-control", b"no-store"), (b"host", b"x"), (b"cache-control", b"max-age=0")]
    head = read_head(fields, client_header=b"")
    assert cache_directives(head.cache_control) == {b"no-store", b"max-age"}
    assert read_head(fields[:2], client_header=b"").cache_control == b"no-store"
    assert not read_head([(b"host", b"x"), (b"host", b"y")], client_header=b"").cache_control


@pytest.mark.parametrize("given_id", [b"abc", b"0af7651916cd43dd8448eb211c80319c", b"a" * 128, b"req/1:2+3=4@x_y.z"])
def test_a_sane_request_id_is_echoed(given_id: bytes) -> None:
    assert RequestIds().choose(given_id) == given_id


@given(st.binary().filter(lambda value: not value.isalnum()))
def test_no_request_id_can_break_a_header(value: bytes) -> None:
    chosen = RequestIds().choose(value)
    assert chosen
    assert not set(chosen) & set(b"\r\n\0 <>\"'")
    assert len(chosen) <= 128


def test_request_ids_differ() -> None:
    ids, others = RequestIds(), RequestIds()
    assert len({ids.choose(b""), ids.choose(b""), others.choose(b""), others.choose(b"")}) == 4


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"application/json",
        b"application/json; charset=utf-8",
        b"Application/JSON;Charset=UTF-8",
        b'application/json; charset="utf-8"',
        b"application/vnd.api+json",
    ],
)
def test_json_in_utf_8_is_accepted(value: bytes) -> None:
    check_content_type(value)


@pytest.mark.parametrize(
    "value",
    [b"text/plain", b"application/x-www-form-urlencoded", b"application/json; charset=latin-1", b"json", b"\xff"],
)
def test_other_media_types_and_charsets_are_not(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaError):
        check_content_type(value)


def test_directives_are_read_whatever_their_case_and_arguments() -> None:
    assert cache_directives(b"No-Store, max-age=0 ,only-if-cached") == {b"no-store", b"max-age", b"only-if-cached"}
    assert cache_directives(b"") == frozenset()


@pytest.mark.parametrize(
    ("counts", "stored", "expected"),
    [
        (SourceCounts(l1=1, l2=1), False, b'mlapi; hit; detail="l1=1 l2=1 collapsed=0 model=0"'),
        (SourceCounts(l1=1, model=1), True, b'mlapi; fwd=miss; stored; detail="l1=1 l2=0 collapsed=0 model=1"'),
        (SourceCounts(model=1), False, b'mlapi; fwd=miss; detail="l1=0 l2=0 collapsed=0 model=1"'),
        (SourceCounts(collapsed=1), False, b'mlapi; fwd=miss; collapsed; detail="l1=0 l2=0 collapsed=1 model=0"'),
    ],
)
def test_cache_status_sums_a_request_up(counts: SourceCounts, stored: bool, expected: bytes) -> None:  # noqa: FBT001
    assert cache_status(counts, stored=stored) == expected


def test_server_timing_is_in_milliseconds_and_adds_up() -> None:
    assert server_timing(0.010, 0.002, 0.005) == b"cache;dur=3.000, queue;dur=2.000, model;dur=5.000"
    assert server_timing(0.0005, 0.0, 0.0) == b"cache;dur=0.500"
