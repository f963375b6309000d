"""Reads from Linux's /proc what processes use: processor time and memory, whole families of them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_MIB: Final = 1024.0
_IDLE: Final = slice(3, 5)
"""Where idle and iowait stand among a processor's counters (proc(5), /proc/stat)."""

_COUNTED: Final = 8
"""The counters after that, for guests, are contained in the earlier ones."""


class Memory(NamedTuple):
    """Resident memory of a family of processes, MiB.

    Attributes:
        now: pages that several share counted once, but never less than the largest process has.
        peak: the most that each had since it started, added up.
    """

    now: float
    peak: float


def family(root: int) -> list[int]:
    """Return a process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def processor_s(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used, and those of their children that they waited for."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _stat(pid))) * _TICK_S


def busy_s(processors: Iterable[int]) -> float:
    """Return the time that these processors were not idle since the machine started."""
    wanted = {f"cpu{number}" for number in processors}
    total = 0
    for line in (_PROC / "stat").read_text().splitlines():
        name, *counters = line.split()
        if name in wanted:
            ticks = list(map(int, counters[:_COUNTED]))
            total += sum(ticks) - sum(ticks[_IDLE])
    return total * _TICK_S


def memory(pids: Iterable[int]) -> Memory:
    """Return how much memory processes use."""
    shares = largest = peak = 0.0
    for pid in pids:
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
            status = (_PROC / str(pid) / "status").read_text()
        except OSError:
            continue  # It has ended meanwhile.
        shares += _kilobytes("Pss", rollup)
        largest = max(largest, _kilobytes("Rss", rollup))
        peak += _kilobytes("VmHWM", status)
    return Memory(max(shares, largest) / _MIB, peak / _MIB)


def _kilobytes(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name: state, parent's id, ...; None if it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
