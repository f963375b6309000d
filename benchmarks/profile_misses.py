"""Shows where the time of a miss goes within the engine: `python -m benchmarks.profile_misses BUNDLE`.

OpenVINO times each operation of a graph where it is told to, which costs something itself: shares and kernels come from
a graph that does, the time of a run from one that does not. The peak of matrix products is measured in the same run, on
the same processors, so that what is left to win can be read off.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import click
import numpy as np
import openvino as ov

from benchmarks.limits import matrix_peaks
from benchmarks.model import arithmetic
from benchmarks.targets import number
from mlapi.bundles.store import Bundle, open_bundle
from mlapi.engines.arithmetic import STATIC_GRAPH, Arithmetic, choose
from mlapi.engines.openvino import DEVICE, compile_settings, read_graph
from mlapi.machine.instruction_set import instruction_set

_SHAPES: Final = ((1, 8), (1, 16), (4, 16), (1, 64), (1, 128), (4, 128), (1, 512))
_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "products": ("FullyConnected", "MatMul"),
    "attention": ("Subgraph", "ScaledDotProductAttention", "MHA", "Softmax"),
    "look-ups": ("Gather",),
}
"""Kinds of operations, by what their names in OpenVINO begin with; an attention is one operation, products included."""

_REST: Final = "rest"
_WARM_UP: Final = 3
_MS: Final = 1e3
_SECONDS: Final = 2.0
_FEWEST: Final = 10


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a graph, on average over the runs.

    Attributes:
        name: its type in OpenVINO.
        kernel: what ran it, `brgemm_avx2_f32` for example.
        seconds: how long it took.
    """

    name: str
    kernel: str
    seconds: float


def kind(name: str) -> str:
    """Return which kind an operation of this name is."""
    return next((kind for kind, names in _KINDS.items() if name.startswith(tuple(names))), _REST)


def shares(operations: Sequence[Operation]) -> dict[str, float]:
    """Return which part of the time each kind of operation takes."""
    seconds = dict.fromkeys((*_KINDS, _REST), 0.0)
    for operation in operations:
        seconds[kind(operation.name)] += operation.seconds
    total = sum(seconds.values())
    return {name: spent / total for name, spent in seconds.items()}


def kernels(operations: Sequence[Operation]) -> list[str]:
    """Return what ran the products, the kernel that took the longest first."""
    seconds: dict[str, float] = {}
    for operation in operations:
        if kind(operation.name) == "products":
            seconds[operation.kernel] = seconds.get(operation.kernel, 0.0) + operation.seconds
    return sorted(seconds, key=lambda kernel: -seconds[kernel])


def peak_of(arithmetic: str, peaks: Mapping[str, float]) -> str:
    """Return which of the peaks the products could reach: that of the number format that their kernels multiply."""
    return next(name for name in peaks if arithmetic.startswith(name))


def _chosen(bundle: Bundle) -> Arithmetic:
    return choose(bundle.manifest.precision, instruction_set(), static=STATIC_GRAPH in bundle.manifest.files)


def _compile(bundle: Bundle, threads: int, *, counting: bool) -> ov.InferRequest:
    chosen = replace(_chosen(bundle), streams=1)
    settings = compile_settings(chosen, threads) | {"PERF_COUNT": counting}
    return ov.Core().compile_model(read_graph(bundle, chosen), DEVICE, settings).create_infer_request()


def _runs(request: ov.InferRequest, texts: int, tokens: int, clock: Callable[[], float]) -> Iterator[float]:
    """Run a batch for a while, and yield the seconds of each run but the first ones."""
    ids = np.random.default_rng(tokens).integers(1_000, 20_000, (texts, tokens))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for _ in range(_WARM_UP):
        request.infer(inputs)
    ends = clock() + _SECONDS
    done = 0
    while done < _FEWEST or clock() < ends:
        started = clock()
        request.infer(inputs)
        yield clock() - started
        done += 1


def _operations(bundle: Bundle, threads: int, texts: int, tokens: int) -> list[Operation]:
    # What is counted is an average since the graph was compiled, so that each shape has a graph of its own.
    request = _compile(bundle, threads, counting=True)
    for _ in _runs(request, texts, tokens, time.perf_counter):
        pass
    infos = request.profiling_info
    return [Operation(info.node_type, info.exec_type, info.real_time.total_seconds()) for info in infos]


def rows(bundle: Bundle, threads: int, peak: float) -> Iterator[str]:
    """Yield the table's lines, as each is known; `peak` in GFLOP/s."""
    yield f"| texts x tokens | ms | GFLOP/s | of the peak | {' | '.join((*_KINDS, _REST))} | kernels of the products |"
    yield "|---" * (5 + len(_KINDS) + 1) + "|"
    plain = _compile(bundle, threads, counting=False)
    for texts, tokens in _SHAPES:
        seconds = median(_runs(plain, texts, tokens, time.perf_counter))
        operations = _operations(bundle, threads, texts, tokens)
        rate = texts * arithmetic(tokens, needed=True) / seconds / 1e9
        parts = " | ".join(f"{share:.1%}" for share in shares(operations).values())
        names = ", ".join(kernels(operations))
        shape = f"{texts} x {tokens}"
        yield f"| {shape} | {number(seconds * _MS)} | {number(rate)} | {rate / peak:.0%} | {parts} | {names} |"


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(bundle: Path) -> None:
    """Print where the time of a miss goes, for a BUNDLE of the full-size model (`make bench` makes one)."""
    processors = sorted(os.sched_getaffinity(0))
    opened = open_bundle(bundle)
    peaks = matrix_peaks(processors)
    used = peak_of(_chosen(opened).name, peaks)
    written = ", ".join(f"{name} {number(rate)}" for name, rate in peaks.items())
    click.echo(f"Peaks of matrix products, GFLOP/s: {written}. Shares are of {used}: {_chosen(opened).reason}.")
    click.echo()
    for line in rows(opened, len(processors), peaks[used]):
        click.echo(line)


if __name__ == "__main__":
    main()
