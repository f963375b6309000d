"""Gives memory back to the system: large blocks when they are freed, and what loading leaves behind."""

import ctypes
import mmap
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 1024 * 1024
_MAPS: Final = Path("/proc/self/maps")


def return_large_blocks() -> None:
    """Have the C library map blocks of a mebibyte and more one by one, so that freeing one frees memory.

    By itself glibc raises that bound to the largest block ever freed (mallopt(3), M_MMAP_THRESHOLD), and what a model's
    loading and its longest text leave behind stays with the process. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)


def release(folder: Path) -> None:
    """Return what the C library holds and does not use, and pages of the program's code and of a folder's files.

    Engines map their weights and make a copy of their own, in the order that their kernels like; and most of their code
    is needed once, to compile a graph. The pages stay in the system's cache as long as it has room, and come back when
    they are read or run: nothing is lost.
    """
    library = ctypes.CDLL(None)
    trim = getattr(library, "malloc_trim", None)
    if trim is not None:
        trim(0)
    for start, length in _mappings(folder.resolve()):
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def _mappings(folder: Path) -> list[tuple[int, int]]:
    """Return address and length of the mappings of code, and of the read-only ones of a folder's files.

    See proc(5), /proc/pid/maps. A library's other read-only mappings are left alone: some were written to while it was
    loaded, and do not come back from the file.
    """
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        addresses, rights, _, _, inode, *path = line.split(maxsplit=5)
        # What a process wrote into a private mapping would be lost.
        if path and inode != "0" and "w" not in rights and ("x" in rights or Path(path[0]).is_relative_to(folder)):
            start, end = (int(address, 16) for address in addresses.split("-"))
            found.append((start, end - start))
    return found
