"""What a process does not need again goes back to the system, and nothing else does."""

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from mlapi.machine.heap import release, return_large_blocks

MIB = 1024 * 1024
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident(field: str) -> int:
    """Return a size out of /proc/self/status, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) // 1024


@LINUX
def test_the_pages_of_a_folders_files_are_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    content = bytes(range(256)) * (64 * MIB // 256)
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights file.bin").write_bytes(content)
    views = []
    for name in ("inside", "outside"):
        with (tmp_path / name / "weights file.bin").open("rb") as file:
            views.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    release(tmp_path / "inside")  # of code, so that only the files are counted below
    before = resident("RssFile")
    assert all(view[:] == content for view in views)
    assert resident("RssFile") - before >= 120
    release(tmp_path / "inside")
    assert 60 <= resident("RssFile") - before < 70
    assert views[0][:] == content
    for view in views:
        view.close()


def resident_code() -> int:
    """Return how much of the files that this process runs code from is resident, in KiB."""
    total = 0
    code = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            code = "x" in values[0] and values[3] != "0"
        elif name == "Rss:" and code:
            total += int(values[0])
    return total


@LINUX
def test_code_is_given_back_and_runs_all_the_same(tmp_path: Path) -> None:
    matrix = np.arange(10_000.0).reshape(100, 100)
    expected = np.linalg.svd(matrix)
    before = resident_code()
    release(tmp_path)
    assert resident_code() < before / 2
    assert all(np.array_equal(now, then) for now, then in zip(np.linalg.svd(matrix), expected, strict=True))


@LINUX
def test_what_was_written_into_a_mapping_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a" * MIB)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        view[:3] = b"new"
        release(tmp_path)
        assert view[:3] == b"new"


@LINUX
def test_a_large_block_is_given_back_when_it_is_freed() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    return_large_blocks()
    before = resident("RssAnon")
    for _ in range(3):
        block = library.malloc(ctypes.c_size_t(32 * MIB))
        keeper = library.malloc(ctypes.c_size_t(64))  # what usually keeps the heap from shrinking
        ctypes.memset(block, 1, 32 * MIB)
        assert resident("RssAnon") - before >= 30
        library.free(block)
        assert resident("RssAnon") - before < 5
        library.free(keeper)
