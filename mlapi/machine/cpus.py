"""Counts the processors that this process may really use."""

import os
from pathlib import Path
from typing import Final

_CGROUP_V2: Final = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1: Final = Path("/sys/fs/cgroup/cpu")


def usable_processors(cgroup_v2: Path = _CGROUP_V2, cgroup_v1: Path = _CGROUP_V1) -> int:
    """Return the smaller of the processors in the affinity mask and the whole ones in the cgroup's quota; at least 1.

    A container that may use 2 of a host's 64 processors must not start 64 threads: they would be throttled together.
    """
    quota = _quota(cgroup_v2, cgroup_v1)
    allowed = len(os.sched_getaffinity(0))
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _quota(cgroup_v2: Path, cgroup_v1: Path) -> float | None:
    """Read the quota in processors (kernel documentation, "Control Group v2", cpu.max); None where there is none."""
    try:
        limit, period = cgroup_v2.read_text().split()
    except (OSError, ValueError):
        try:
            limit = (cgroup_v1 / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup_v1 / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return None
    return int(limit) / int(period)
