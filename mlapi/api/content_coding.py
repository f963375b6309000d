"""Decodes request bodies that come in a content coding (RFC 9110, section 8.4), piece by piece."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from mlapi.errors import ContentEncodingError, UnsupportedEncodingError

PIECE_BYTES: Final = 65_536
"""The most that one step of decoding makes."""

ACCEPTED: Final = "gzip, deflate, zstd"
"""What `Accept-Encoding` says in a response (RFC 9110, section 12.5.3)."""

_SLICE_BYTES: Final = 8_192
"""How much is decoded at a time: what follows a member is copied at its end, and members may be a few bytes long."""

_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_ZLIB_BITS: Final = zlib.MAX_WBITS
_RAW_BITS: Final = -zlib.MAX_WBITS

_ZLIB_METHOD: Final = 8
"""The low four bits of a zlib stream's first byte (RFC 1950, section 2.2); no encoder begins bare deflate with them."""

_ZSTD_WINDOW_LOG: Final = 23
"""8 MiB, the largest window that a decoder of this content coding has to hold (RFC 9659, section 3)."""


class _Member(Protocol):
    """One self-contained stretch of a body: a gzip member, a zlib stream, a Zstandard frame."""

    @property
    def eof(self) -> bool:
        """Whether its end has come."""

    @property
    def needs_input(self) -> bool:
        """Whether it holds nothing that it could decode yet."""

    @property
    def unused_data(self) -> bytes:
        """What came behind its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Decode what it holds and `data`, up to so many bytes."""


class _ZlibMember:
    """zlib's decoder with the interface that Python's others have."""

    def __init__(self, bits: int) -> None:
        self._inner = zlib.decompressobj(bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # After a full piece there may be more in zlib itself, though it has taken all of the data.
        self.needs_input = not self._inner.unconsumed_tail and len(piece) < max_length
        return piece


@dataclass(frozen=True, slots=True)
class _Coding:
    """A content coding: its name, how a member begins, and whether another one may follow a member."""

    name: str
    begin: Callable[[bytes], _Member]
    many: bool


class ContentDecoder:
    """Decodes one body; holds no more than a piece, and the window of the coding."""

    def __init__(self, coding: _Coding) -> None:
        self._coding = coding
        self._member: _Member | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what a part of the body decodes to, in pieces of at most `PIECE_BYTES`, some of them empty.

        Raises:
            ContentEncodingError: this is not the coding that it was said to be.
        """
        for start in range(0, len(data), _SLICE_BYTES):
            try:
                yield from self._decode(data[start : start + _SLICE_BYTES])
            except ContentEncodingError:
                raise
            except Exception as error:
                # zlib.error, or ZstdError, which is not imported where no body needs it.
                msg = f"the body is not {self._coding.name}, as its Content-Encoding says, or is damaged"
                raise ContentEncodingError(msg) from error

    def finish(self) -> None:
        """Make sure that the body was complete.

        Raises:
            ContentEncodingError: its end is missing.
        """
        if self._member is None or not self._member.eof:
            msg = f"the body breaks off: the end of its content coding, {self._coding.name}, is missing"
            raise ContentEncodingError(msg)

    def _decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            member = self._take(data)
            yield member.decompress(data, PIECE_BYTES)
            while not (member.eof or member.needs_input):
                yield member.decompress(b"", PIECE_BYTES)
            data = member.unused_data if member.eof else b""

    def _take(self, data: bytes) -> _Member:
        """Return the member that these bytes belong to."""
        if self._member is not None and not self._member.eof:
            return self._member
        if self._member is not None and not self._coding.many:
            msg = f"the body goes on behind the end of its content coding, {self._coding.name}"
            raise ContentEncodingError(msg)
        self._member = self._coding.begin(data)
        return self._member


def find_decoder(values: Iterable[bytes]) -> ContentDecoder | None:
    """Return what decodes a body, or None if it was sent as it is.

    Args:
        values: of all `Content-Encoding` fields of the request, in their order.

    Raises:
        UnsupportedEncodingError: an unknown coding, or several of them.
    """
    listed = (name.strip(b" \t").lower() for value in values for name in value.split(b","))
    codings = [name for name in listed if name not in {b"", b"identity"}]
    if not codings:
        return None
    if len(codings) > 1:
        msg = "send the body in one content coding, not in several"
        raise UnsupportedEncodingError(msg, headers=[("accept-encoding", ACCEPTED)])
    match codings[0]:
        case b"gzip" | b"x-gzip":
            return ContentDecoder(_Coding("gzip", lambda _: _ZlibMember(_GZIP_BITS), many=True))
        case b"deflate":
            return ContentDecoder(_Coding("deflate", _begin_deflate, many=False))
        case b"zstd":
            return ContentDecoder(_Coding("zstd", _begin_zstd, many=True))
        case _:
            msg = f"send the body as it is, or in one of these content codings: {ACCEPTED}"
            raise UnsupportedEncodingError(msg, headers=[("accept-encoding", ACCEPTED)])


def _begin_deflate(data: bytes) -> _Member:
    """Begin a zlib stream, or the bare deflate stream that some clients send instead (RFC 9110, section 8.4.1.2)."""
    return _ZlibMember(_ZLIB_BITS if data[0] & 0x0F == _ZLIB_METHOD else _RAW_BITS)


def _begin_zstd(_: bytes) -> _Member:
    from backports.zstd import DecompressionParameter, ZstdDecompressor  # noqa: PLC0415  5 ms that few processes need

    return ZstdDecompressor(options={DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
