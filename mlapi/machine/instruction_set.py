"""Names the processor family that decides which arithmetic kernels run, and with them a score's last bits."""

import os
import platform
from collections.abc import Mapping
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

_CEILING: Final = "ONEDNN_MAX_CPU_ISA"
_BEYOND: Final = (
    (("AVX512_CORE_AMX_FP16",), ()),
    (("AVX512_CORE_AMX",), ("amx_fp16",)),
    (("AVX512_CORE_FP16", "AVX10_1_512"), ("amx_bf16", "amx_int8")),
    (("AVX512_CORE_BF16",), ("avx512_fp16",)),
    (("AVX512_CORE_VNNI",), ("avx512_bf16",)),
    (("AVX512_CORE",), ("avx512_vnni", "avx_vnni")),
    (("AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX", "SSE41"), ("avx512f", "avx512_vnni", "avx_vnni")),
)
"""What a ceiling on the instruction set takes away, on top of what the ceilings above it do; highest first."""


def instruction_set(cpuinfo: Path = _CPUINFO, environment: Mapping[str, str] = os.environ) -> str:
    """Return the architecture and its vector and matrix extensions, such as `x86_64:avx2,avx512_vnni,avx512f`.

    Where the operating system does not list them, the architecture alone. Those that `ONEDNN_MAX_CPU_ISA` forbids are
    left out, because the kernels obey it (https://uxlfoundation.github.io/oneDNN, "CPU Dispatcher Control").
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.machine()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    present = set(flags.partition(":")[2].split()) - _forbidden(environment.get(_CEILING, ""))
    return f"{platform.machine()}:{','.join(name for name in sorted(_RELEVANT) if name in present)}"


def multiplies_int8(names: str) -> bool:
    """Tell from `instruction_set` whether the processor multiplies and adds 8-bit integers in one instruction."""
    return _has(names, x86=("amx_int8", "avx512_vnni", "avx_vnni"), other=("asimddp", "i8mm"))


def has_wide_vectors(names: str) -> bool:
    """Tell from `instruction_set` whether an x86 processor has 512-bit vectors, and any other one vectors at all."""
    return _has(names, x86=("avx512f",), other=("asimd",))


def multiplies_int8_tiles(names: str) -> bool:
    """Tell from `instruction_set` whether the processor multiplies int8 matrices in tiles of rows (AMX)."""
    return _has(names, x86=("amx_int8",), other=())


def multiplies_bf16_tiles(names: str) -> bool:
    """Tell from `instruction_set` whether the processor multiplies bf16 matrices in tiles of rows (AMX)."""
    return _has(names, x86=("amx_bf16",), other=())


def _forbidden(ceiling: str) -> set[str]:
    forbidden: set[str] = set()
    for ceilings, beyond in _BEYOND:
        forbidden |= set(beyond)
        if ceiling.upper() in ceilings:
            return forbidden
    return set()


def _has(names: str, *, x86: tuple[str, ...], other: tuple[str, ...]) -> bool:
    architecture, _, extensions = names.partition(":")
    return not set(x86 if architecture == "x86_64" else other).isdisjoint(extensions.split(","))
