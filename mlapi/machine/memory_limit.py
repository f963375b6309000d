"""Tells how much memory this process may use."""

import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of version 2 (kernel documentation, "Control Group v2") and version 1 ("Memory Resource Controller")."""


def memory_limit(cgroup: Path = _CGROUP, machine: int | None = None) -> int:
    """Return the smaller of the container's limit and the machine's memory, bytes.

    Args:
        cgroup: where control groups are mounted; a folder without a limit, or with none that can be read, sets none.
        machine: the machine's memory, bytes; None: this one's.
    """
    if machine is None:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(limit for name in _FILES if (limit := _read(cgroup / name)))])


def _read(path: Path) -> int | None:
    """Return a file's number; None where it has none: `max` stands for no limit."""
    try:
        content = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(content) if content.isdigit() else None
