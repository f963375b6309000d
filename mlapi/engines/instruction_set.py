"""Names the processor family that decides which arithmetic kernels run, and with them a score's last bits."""

import platform
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_RELEVANT: Final = (
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512f",
    "avx_vnni",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
)


def instruction_set(cpuinfo: Path = _CPUINFO) -> str:
    """Return the architecture and its vector and matrix extensions, such as `x86_64:avx2,avx512_vnni,avx512f`.

    Where the operating system does not list them, the architecture alone.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.machine()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    present = set(flags.partition(":")[2].split())
    return f"{platform.machine()}:{','.join(name for name in sorted(_RELEVANT) if name in present)}"


def multiplies_int8(names: str) -> bool:
    """Tell from `instruction_set` whether the processor multiplies and adds 8-bit integers in one instruction."""
    return _has(names, x86=("amx_int8", "avx512_vnni", "avx_vnni"), other=("asimddp", "i8mm"))


def has_wide_vectors(names: str) -> bool:
    """Tell from `instruction_set` whether an x86 processor has 512-bit vectors, and any other one vectors at all."""
    return _has(names, x86=("avx512f",), other=("asimd",))


def multiplies_bf16_tiles(names: str) -> bool:
    """Tell from `instruction_set` whether the processor multiplies bf16 matrices in tiles of rows (AMX)."""
    return _has(names, x86=("amx_bf16",), other=())


def _has(names: str, *, x86: tuple[str, ...], other: tuple[str, ...]) -> bool:
    architecture, _, extensions = names.partition(":")
    return not set(x86 if architecture == "x86_64" else other).isdisjoint(extensions.split(","))
