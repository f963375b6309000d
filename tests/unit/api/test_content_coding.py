"""Encoded bodies decode to what was encoded, however they are cut, within the bounds of all bodies."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.content_coding import PIECE_BYTES, ContentDecoder, find_decoder
from mlapi.errors import ContentEncodingError, UnsupportedEncodingError

TEXT = b'{"text":["a text that repeats, repeats, repeats"]}'


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def unannounced_zstd(data: bytes) -> bytes:
    """Encode without saying how long the content is, as a stream."""
    compressor = zstd.ZstdCompressor()
    return compressor.compress(data) + compressor.flush()


ENCODERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "zlib": (b"deflate", zlib.compress),
    "bare deflate": (b"deflate", bare_deflate),
    "stored deflate": (b"deflate", lambda data: zlib.compress(data, 0)),
    "zstd": (b"zstd", zstd.compress),
    "streamed zstd": (b"zstd", unannounced_zstd),
}
every_encoder = pytest.mark.parametrize(("coding", "encode"), ENCODERS.values(), ids=ENCODERS)


def decoder(coding: bytes) -> ContentDecoder:
    found = find_decoder([coding])
    assert found is not None
    return found


def decode(coding: bytes, *parts: bytes) -> bytes:
    decoding = decoder(coding)
    pieces = [piece for part in parts for piece in decoding.feed(part)]
    decoding.finish()
    assert max(map(len, pieces)) <= PIECE_BYTES
    return b"".join(pieces)


def cut(data: bytes, at: int) -> Iterator[bytes]:
    return (data[start : start + at] for start in range(0, len(data), at))


@every_encoder
@given(data=st.binary(max_size=300), at=st.integers(1, 40), times=st.sampled_from([1, 3, 1_000]))
def test_what_was_encoded_is_decoded_however_it_is_cut(
    coding: bytes, encode: Callable[[bytes], bytes], data: bytes, at: int, times: int
) -> None:
    assert decode(coding, *cut(encode(data * times), at)) == data * times


@every_encoder
def test_a_body_that_breaks_off_anywhere_is_refused(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    encoded = encode(TEXT)
    for length in range(len(encoded)):
        with pytest.raises(ContentEncodingError):
            decode(coding, encoded[:length], b"")


@every_encoder
@pytest.mark.parametrize("behind", [b"\n", b"\0", b"garbage", TEXT])
def test_a_body_that_goes_on_behind_its_end_is_refused(
    coding: bytes, encode: Callable[[bytes], bytes], behind: bytes
) -> None:
    for parts in ([encode(TEXT) + behind], [encode(TEXT), behind]):
        with pytest.raises(ContentEncodingError):
            decode(coding, *parts)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
@pytest.mark.parametrize("body", [b"", TEXT, b"\0" * 100, b"\xff" * 100], ids=["nothing", "JSON", "zeros", "ones"])
def test_a_body_in_no_coding_is_refused(coding: bytes, body: bytes) -> None:
    with pytest.raises(ContentEncodingError):
        decode(coding, body)


@pytest.mark.parametrize(("coding", "encode"), [(b"gzip", gzip.compress), (b"zstd", zstd.compress)])
def test_members_that_follow_one_another_are_one_body(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    members = encode(TEXT[:9]) + encode(b"") + encode(TEXT[9:])
    assert decode(coding, members) == TEXT
    assert decode(coding, *cut(members, 1)) == TEXT


def test_a_damaged_checksum_is_noticed() -> None:
    for coding, encode in ((b"gzip", gzip.compress), (b"deflate", zlib.compress)):
        encoded = bytearray(encode(TEXT))
        encoded[-5 if coding == b"gzip" else -1] ^= 1
        with pytest.raises(ContentEncodingError):
            decode(coding, bytes(encoded))


def test_a_zstd_window_beyond_the_standard_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    # Flushed in the middle, so that the frame cannot say that it is shorter than its window.
    body = compressor.compress(TEXT, zstd.ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
    with pytest.raises(ContentEncodingError):
        decode(b"zstd", body)


@pytest.mark.parametrize("values", [[], [b""], [b"identity"], [b" Identity ,"], [b"identity", b"", b"identity"]])
def test_a_body_that_is_sent_as_it_is_needs_no_decoder(values: list[bytes]) -> None:
    assert find_decoder(values) is None


@pytest.mark.parametrize("values", [[b"GZip"], [b"x-gzip"], [b"identity, gzip"], [b"gzip", b"identity"], [b",gzip ,"]])
def test_a_coding_is_found_in_any_spelling(values: list[bytes]) -> None:
    found = find_decoder(values)
    assert found is not None
    assert b"".join(found.feed(gzip.compress(TEXT))) == TEXT


@pytest.mark.parametrize(
    "values",
    [[b"snappy"], [b"br"], [b"compress"], [b"gzip, zstd"], [b"gzip", b"gzip"], [b"gzip;q=1"], [b"*"], [b"\xff"]],
)
def test_another_coding_or_several_are_refused_with_those_that_are_accepted(values: list[bytes]) -> None:
    with pytest.raises(UnsupportedEncodingError) as refused:
        find_decoder(values)
    assert refused.value.headers == (("accept-encoding", "gzip, deflate, zstd"),)


@given(st.sampled_from([b"gzip", b"deflate", b"zstd"]), st.binary(max_size=200))
def test_no_body_raises_anything_else(coding: bytes, body: bytes) -> None:
    with suppress(ContentEncodingError):
        decode(coding, body, b"x")
