"""The profile of misses says how the time divides, and by what it was spent."""

import pytest

from benchmarks.profile_misses import Operation, kernels, peak_of, shares

OPERATIONS = [
    Operation("FullyConnectedCompressed", "brgemm_avx2_f32", 5.0),
    Operation("FullyConnected", "gemm_mlas_f32", 1.0),
    Operation("FullyConnected", "gemm_mlas_f32", 1.0),
    Operation("Subgraph", "jit_avx2_f32", 2.0),
    Operation("GatherCompressed", "ref_any_i8", 0.5),
    Operation("MVN", "jit_avx2_f32", 0.25),
    Operation("Convert", "ref_i64", 0.25),
]


def test_every_operation_is_in_one_share() -> None:
    found = shares(OPERATIONS)
    assert found == pytest.approx({"products": 0.7, "attention": 0.2, "look-ups": 0.05, "rest": 0.05})


def test_the_kernels_are_those_of_the_products_the_longest_first() -> None:
    assert kernels(OPERATIONS) == ["brgemm_avx2_f32", "gemm_mlas_f32"]
    assert kernels(list(reversed(OPERATIONS))) == ["brgemm_avx2_f32", "gemm_mlas_f32"]


@pytest.mark.parametrize(
    ("arithmetic", "peak"), [("int8-static", "int8"), ("int8-dynamic", "int8"), ("bf16", "bf16"), ("fp32", "fp32")]
)
def test_a_share_is_of_the_peak_of_what_is_multiplied(arithmetic: str, peak: str) -> None:
    assert peak_of(arithmetic, {"int8": 3.0, "bf16": 2.0, "fp32": 1.0}) == peak
