"""Reads and writes plain, gzip and zstd files; each piece that is written is compressed by itself."""

import gzip
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, cast

from backports import zstd

GZIP: Final = ".gz"
ZSTD: Final = ".zst"
SUFFIXES: Final = (GZIP, ZSTD)
STANDARD: Final = Path("-")

_LEVEL: Final = 6
_HEAD: Final = 1024 * 1024
_BLOCK: Final = 1024 * 1024


def identify(path: Path) -> tuple[int, int, str]:
    """Return what tells a file from another one, or from itself after a change: size, time, hash of its beginning."""
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        return facts.st_size, facts.st_mtime_ns, sha256(file.read(_HEAD)).hexdigest()


class Input(NamedTuple):
    """An open input: the decompressed bytes, and the file that they come from."""

    data: BinaryIO
    raw: BinaryIO

    @property
    def seekable(self) -> bool:
        """Whether a place in the data can be gone to without reading what is before it."""
        return self.data is self.raw and self.raw.seekable()

    def skip_to(self, offset: int) -> None:
        """Go to a place in the data of a file that was just opened."""
        if self.seekable:
            self.data.seek(offset)
            return
        while offset > 0:
            block = self.data.read(min(offset, _BLOCK))
            if not block:
                return
            offset -= len(block)

    def close(self) -> None:
        """Close both."""
        self.data.close()
        self.raw.close()


def open_input(path: Path) -> Input:
    """Open a file, or standard input for `-`; a suffix says how it is compressed."""
    if path == STANDARD:
        return Input(sys.stdin.buffer, sys.stdin.buffer)
    raw = path.open("rb")
    if path.suffix == GZIP:
        return Input(cast("BinaryIO", gzip.GzipFile(fileobj=raw)), raw)
    if path.suffix == ZSTD:
        return Input(cast("BinaryIO", zstd.ZstdFile(cast("IO[bytes]", raw))), raw)
    return Input(raw, raw)


def decompressed_size(path: Path) -> int:
    """Return how many bytes a file holds; reads a compressed one to its end."""
    if path.suffix not in SUFFIXES:
        return path.stat().st_size
    opened = open_input(path)
    try:
        size = 0
        while block := opened.data.read(_BLOCK):
            size += len(block)
        return size
    finally:
        opened.close()


def compressor(path: Path) -> Callable[[bytes], bytes]:
    """Return what turns a piece of an output into bytes that can stand between other such pieces.

    Members of gzip and frames of zstd may follow each other in a file. They carry no time of day, so that the same
    piece is always the same bytes.
    """
    if path.suffix == GZIP:
        return lambda piece: gzip.compress(piece, _LEVEL, mtime=0)
    if path.suffix == ZSTD:
        return zstd.compress
    return bytes
