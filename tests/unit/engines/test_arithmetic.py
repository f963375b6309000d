"""The instruction set decides how a bundle is computed, with how many streams, and what is claimed of the bits."""

import pytest

from mlapi.engines.arithmetic import Precision, choose, streams

AVX2 = "x86_64:avx2"
AVX512 = "x86_64:avx2,avx512f"
VNNI = "x86_64:avx2,avx512_vnni,avx512f"
BF16 = "x86_64:avx2,avx512_bf16,avx512_vnni,avx512f"
AMX = "x86_64:amx_bf16,amx_int8,avx2,avx512_bf16,avx512_vnni,avx512f"
ARM = "aarch64:asimd,asimddp"


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(
    ("names", "arithmetic", "invariant"),
    [
        (AVX2, "fp32", False),
        (AVX512, "fp32", False),
        (VNNI, "int8-dynamic", True),
        (BF16, "int8-dynamic", True),
        ("x86_64:avx2,avx_vnni", "int8-dynamic", True),
        (ARM, "int8-dynamic", True),
        ("x86_64", "fp32", False),
    ],
)
def test_int8_without_amx_is_computed_as_ever(names: str, arithmetic: str, *, invariant: bool, static: bool) -> None:
    chosen = choose("int8", names, static=static)
    assert (chosen.name, chosen.hint, chosen.invariant) == (arithmetic, "f32", invariant)
    assert (chosen.static, chosen.streams) == (False, 1)
    assert chosen.trial_tokens == (0 if invariant else 64)


def test_amx_multiplies_int8_where_scales_are_fixed() -> None:
    chosen = choose("int8", AMX, static=True)
    assert (chosen.name, chosen.hint, chosen.static) == ("int8-static", "bf16", True)
    assert chosen.invariant
    assert "AMX" in chosen.reason


def test_without_fixed_scales_amx_changes_nothing() -> None:
    assert choose("int8", AMX, static=False) == choose("int8", VNNI, static=False)


def test_amx_for_bf16_alone_does_not_run_the_graph_with_fixed_scales() -> None:
    assert choose("int8", "x86_64:amx_bf16,avx512f,avx512_vnni", static=True).name == "int8-dynamic"


@pytest.mark.parametrize(
    ("precision", "names", "arithmetic", "invariant"),
    [
        ("fp32", AVX2, "fp32", False),
        ("fp32", AVX512, "fp32", True),
        ("fp32", AMX, "fp32", True),
        ("bf16", BF16, "bf16", True),
        ("bf16", AMX, "bf16", False),
    ],
)
def test_floating_point_is_computed_as_the_bundle_says(
    precision: Precision, names: str, arithmetic: str, *, invariant: bool
) -> None:
    chosen = choose(precision, names, static=False)
    assert (chosen.name, chosen.invariant, chosen.streams) == (arithmetic, invariant, 1)


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (2, 2), (3, 1), (4, 2), (8, 2)])
def test_streams_have_equally_many_threads(threads: int, expected: int) -> None:
    assert streams(choose("int8", AMX, static=True), threads) == expected
    assert streams(choose("int8", AVX2, static=True), threads) == 1
