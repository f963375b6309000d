"""Says on what machine a run was made, and how much of its processors somebody else used meanwhile."""

import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.processes import busy_s, family, processor_s

_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16")
_TOOLS: Final = ("mlapi", "openvino", "uvicorn", "uvloop", "fastapi", "redis", "tokenizers")


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts that a reader needs to judge a figure."""

    processor: str
    processors: int
    used: int
    flags: tuple[str, ...]
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]

    def describe(self) -> dict[str, object]:
        """Return the facts for JSON."""
        return asdict(self)


def look(used: int) -> Machine:
    """Describe this machine; `used` is how many of its processors the run binds itself to."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    memory = Path("/proc/meminfo").read_text(encoding="utf-8")
    flags = set(_field("flags", info).split())
    return Machine(
        processor=_field("model name", info),
        processors=os.cpu_count() or 0,
        used=used,
        flags=tuple(flag for flag in _FLAGS if flag in flags),
        memory_gib=round(int(_field("MemTotal", memory).split()[0]) / 1024**2, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={tool: version(tool) for tool in _TOOLS},
    )


def _field(name: str, text: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


class Meter:
    """Measures what processes other than ours took of some processors since it was made."""

    def __init__(self, processors: tuple[int, ...]) -> None:
        self._processors = processors
        self._started = time.perf_counter()
        self._busy = busy_s(processors)
        self._ours = processor_s(family(os.getpid()))

    def foreign_share(self) -> float:
        """Return their share of the processors' time, 0 to 1."""
        seconds = (time.perf_counter() - self._started) * len(self._processors)
        busy = busy_s(self._processors) - self._busy
        ours = processor_s(family(os.getpid())) - self._ours
        return max(0.0, min(1.0, (busy - ours) / seconds)) if seconds else 0.0
