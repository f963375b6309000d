"""Measures what no server can exceed on this machine: matrix products, and Redis itself."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

_REQUESTS: Final = 200_000
_CLIENTS: Final = 64


def matrix_peaks(processors: Sequence[int]) -> dict[str, float]:
    """Return the rates of matrix products by precision, GFLOP/s, on these processors, now."""
    bound = ["taskset", "--cpu-list", ",".join(map(str, processors))] if shutil.which("taskset") else []
    command = [*bound, sys.executable, "-m", "benchmarks.peaks", str(len(processors))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own command line
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def redis_rate(url: str) -> dict[str, float | str]:
    """Return what `redis-benchmark` gets out of the Redis at `url`, GET requests a second with 64 clients."""
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return {"redis_get_per_s": "redis-benchmark is not installed"}
    where = urlsplit(url)
    command = [tool, "-h", str(where.hostname), "-p", str(where.port), "-t", "get", "-c", str(_CLIENTS)]
    command += ["-n", str(_REQUESTS), "-d", "64", "--csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own command line
    header, values = (line.strip('"').split('","') for line in done.stdout.splitlines()[:2])
    return {"redis_get_per_s": float(dict(zip(header, values, strict=True))["rps"])}
