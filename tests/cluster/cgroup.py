"""What a container's control group says of its memory and processor, in either version of control groups."""

from dataclasses import dataclass
from typing import Final

from tests.cluster.kubectl import Kubectl

_FOLDER: Final = "/sys/fs/cgroup"
_READ: Final = 'for file in {files}; do test -r $file && sed "s#^#$file #" $file; done; grep VmHWM /proc/1/status'
_FILES: Final = {
    # version 2
    "memory.current": "memory",
    "memory.max": "limit",
    "memory.stat": "",
    "memory.events": "",
    "cpu.stat": "",
    # version 1
    "memory/memory.usage_in_bytes": "memory",
    "memory/memory.limit_in_bytes": "limit",
    "memory/memory.stat": "",
    "memory/memory.oom_control": "",
    "cpu/cpu.stat": "",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a container.

    Attributes:
        working_set: bytes that cannot be taken back at once: memory charged, less the inactive file cache.
        limit: bytes that it may have.
        peak_resident: the most bytes that its first process had resident since its start.
        oom_kills: processes killed for want of memory.
        periods: scheduling periods in which it ran.
        throttled: those of them in which its quota ran out.
    """

    working_set: int
    limit: int
    peak_resident: int
    oom_kills: int
    periods: int
    throttled: int


def look(kubectl: Kubectl, pod: str, container: str) -> Usage:
    """Read a container's figures with a shell of its own, which is charged to it, too: a megabyte."""
    files = " ".join(f"{_FOLDER}/{name}" for name in _FILES)
    found: dict[str, int] = {}
    for line in kubectl.exec(pod, "sh", "-c", _READ.format(files=files), container=container).splitlines():
        *names, value = line.removesuffix(" kB").split()
        name = _FILES.get(names[0].removeprefix(f"{_FOLDER}/")) or names[-1]
        if value.isdigit():
            found[name] = int(value)
    return Usage(
        working_set=found["memory"] - found.get("total_inactive_file", found.get("inactive_file", 0)),
        limit=found["limit"],
        peak_resident=found["VmHWM:"] * 1024,
        oom_kills=found["oom_kill"],
        periods=found["nr_periods"],
        throttled=found["nr_throttled"],
    )
