"""Threads follow the container's share, not the host's size."""

import os
from pathlib import Path

import pytest

from mlapi.machine.cpus import usable_processors
from mlapi.machine.instruction_set import has_wide_vectors, instruction_set, multiplies_bf16_tiles, multiplies_int8


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("garbage\n", 8),
    ],
)
def test_the_quota_of_cgroup_v2_bounds_the_threads(tmp_path: Path, content: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert usable_processors(tmp_path / "cpu.max", tmp_path / "none") == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_the_quota_of_cgroup_v1_does_too(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert usable_processors(tmp_path / "none", tmp_path) == expected


def test_without_a_quota_all_allowed_processors_are_used(tmp_path: Path) -> None:
    assert usable_processors(tmp_path / "none", tmp_path / "none") == 8


def test_the_instruction_set_names_what_changes_a_score(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx512_vnni avx2 avx512f sse\nprocessor\t: 1\n")
    assert instruction_set(cpuinfo).endswith(":avx2,avx512_vnni,avx512f")
    cpuinfo.write_text("Features\t: fp asimd i8mm\n")
    assert instruction_set(cpuinfo).endswith(":asimd,i8mm")
    assert ":" not in instruction_set(tmp_path / "none")


@pytest.mark.parametrize(
    ("ceiling", "left"),
    [
        ("", "amx_bf16,amx_int8,avx2,avx512_bf16,avx512_vnni,avx512f"),
        ("DEFAULT", "amx_bf16,amx_int8,avx2,avx512_bf16,avx512_vnni,avx512f"),
        ("AVX512_CORE_AMX", "amx_bf16,amx_int8,avx2,avx512_bf16,avx512_vnni,avx512f"),
        ("AVX512_CORE_BF16", "avx2,avx512_bf16,avx512_vnni,avx512f"),
        ("avx512_core_vnni", "avx2,avx512_vnni,avx512f"),
        ("AVX512_CORE", "avx2,avx512f"),
        ("AVX2", "avx2"),
    ],
)
def test_what_kernels_are_forbidden_to_use_is_not_named(tmp_path: Path, ceiling: str, left: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8\n")
    assert instruction_set(cpuinfo, {"ONEDNN_MAX_CPU_ISA": ceiling}).partition(":")[2] == left


@pytest.mark.parametrize(
    ("names", "able"),
    [
        ("x86_64:avx2,avx512_vnni,avx512f", True),
        ("x86_64:avx2,avx_vnni", True),
        ("x86_64:amx_int8", True),
        ("x86_64:avx2,avx512_bf16,avx512f", False),
        ("x86_64:", False),
        ("x86_64", False),
        ("aarch64:asimd,asimddp", True),
        ("aarch64:asimd", False),
    ],
)
def test_int8_arithmetic_is_told_from_the_instruction_set(names: str, *, able: bool) -> None:
    assert multiplies_int8(names) is able


@pytest.mark.parametrize(
    ("names", "wide"),
    [
        ("x86_64:avx2,avx512_vnni,avx512f", True),
        ("x86_64:avx2,avx_vnni", False),
        ("x86_64:avx2", False),
        ("x86_64", False),
        ("aarch64:asimd", True),
    ],
)
def test_wide_vectors_are_told_from_the_instruction_set(names: str, *, wide: bool) -> None:
    assert has_wide_vectors(names) is wide


@pytest.mark.parametrize(
    ("names", "tiles"),
    [("x86_64:amx_bf16,avx512f", True), ("x86_64:amx_int8,avx512_bf16,avx512f", False), ("aarch64:bf16", False)],
)
def test_tiles_are_told_from_the_instruction_set(names: str, *, tiles: bool) -> None:
    assert multiplies_bf16_tiles(names) is tiles
