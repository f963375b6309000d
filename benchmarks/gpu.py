"""Measures the torch engine on a CUDA device, and its scores against fp32 on the processor: `python -m benchmarks.gpu`.

Needs no OpenVINO, no peers and no network. The results are written after each step, so that a run that is cut short
leaves what it had.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from benchmarks import gpu_load
from benchmarks.catalogue import PEERS
from benchmarks.model import LONGEST, TOKENIZER, Precision, prepare_checkpoint, torch_bundle
from benchmarks.servers import Places, ServeError, Server
from mlapi.batching.buckets import bucket_lengths
from mlapi.bench.load import closed_loop
from mlapi.bench.traffic import BLOCK, Traffic, read_words
from mlapi.engines.base import EngineIdentity, Logits, TokenIds
from mlapi.engines.executor import EngineExecutor
from mlapi.engines.fixed_shapes import Call, FixedShapes
from mlapi.engines.torch import CUDA_BUDGETS, TorchEngine, load_model, on_cuda
from mlapi.postprocessing import probabilities
from mlapi.predictions import EncodedText
from mlapi.tokenizing.tokenizer import HfTokenizer

_CLOCK: Final = time.perf_counter
_CLOSE: Final = 0.1
"""Texts whose two probabilities are closer may get either label from coarser arithmetic."""

_LENGTHS: Final = (16, 32, 128, 512)
_CALLERS: Final = {"cuda": (16, 64, 512), "cpu": (2,)}
_PEAK_SIZE: Final = 8192
_GIB: Final = 2**30
_SHORT: Final = 32
_UNMEASURED: Final = "not measured"


class Notes:
    """What was measured so far, on the screen and on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notes: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:  # noqa: ANN401  whatever JSON can hold
        """Take down one more thing."""
        self._notes[name] = value
        print(f"{time.strftime('%X')} {name}: {json.dumps(value)}", flush=True)  # noqa: T201  a program's output
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._notes, indent=1) + "\n", encoding="utf-8")


def look(device: str) -> dict[str, Any]:
    """Describe the device and the libraries."""
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "processors": len(os.sched_getaffinity(0)),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "device": card.name,
            "memory_gib": card.total_memory / _GIB,
            "multiprocessors": card.multi_processor_count,
        }
        facts["cuda"] = torch.version.cuda
    return facts


def matrix_peak(seconds: float) -> float:
    """Return the best rate of large bf16 products on random numbers, TFLOP/s, over so many seconds."""
    left, right = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best, until = 0.0, _CLOCK() + seconds
    while _CLOCK() < until:
        torch.cuda.synchronize()
        started = _CLOCK()
        for _ in range(5):
            left @ right
        torch.cuda.synchronize()
        best = max(best, 5 * 2 * _PEAK_SIZE**3 / (_CLOCK() - started) / 1e12)
    return best


def eager(model: torch.nn.Module, device: str) -> Call:
    """Return a call without a graph, of any shape."""

    def call(ids: TokenIds, mask: TokenIds) -> Logits:
        with torch.inference_mode():
            output = model(input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device))
            logits: Logits = output.logits.float().cpu().numpy()
        return logits

    return call


def engine(checkpoint: Path, number: torch.dtype, device: str, budgets: Sequence[int], *, graphs: bool) -> TorchEngine:
    """Load the model in a number format, to be computed in calls of these budgets, with graphs or without."""
    model = load_model(checkpoint / "config.json", checkpoint / "model.safetensors")
    if graphs:
        shapes = on_cuda(model, number, budgets)
    else:
        call = eager(model.to(device, number), device)
        shapes = FixedShapes(lambda rows, length: call, budgets=budgets, vocabulary=model.config.vocab_size)  # noqa: ARG005
    identity = EngineIdentity("torch", torch.__version__, str(number), str(number), device)
    return TorchEngine(shapes, identity, streams=2, batch_tokens=budgets[-1])


def reference(checkpoint: Path, texts: Sequence[EncodedText]) -> list[tuple[float, ...]]:
    """Return the probabilities in fp32 on the processor, each text alone and without padding."""
    model = load_model(checkpoint / "config.json", checkpoint / "model.safetensors")
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([text.ids])).logits[0].tolist() for text in texts]
    return [probabilities(row, "softmax") for row in rows]


def compare(scores: Sequence[tuple[float, ...]], expected: Sequence[tuple[float, ...]]) -> dict[str, float]:
    """Say how far scores are from the reference's, and on how many texts the label differs where it is not close."""
    apart = sorted(max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in zip(scores, expected, strict=True))
    clear = [pair for pair in zip(scores, expected, strict=True) if abs(pair[1][0] - pair[1][1]) > _CLOSE]
    return {
        "texts": len(scores),
        "furthest": apart[-1],
        "median": apart[len(apart) // 2],
        "clear_texts": len(clear),
        "other_label": sum((a[0] > a[1]) != (b[0] > b[1]) for a, b in clear),
    }


@dataclass(frozen=True, slots=True)
class Probes:
    """Texts of mixed length and their scores in fp32, the most tokens that any text has, and how many ask at once."""

    longest: int
    callers: Sequence[int]
    texts: Sequence[EncodedText]
    expected: Sequence[tuple[float, ...]]


async def measure(notes: Notes, name: str, loaded: TorchEngine, probes: Probes, seconds: float) -> None:
    """Take down all that concerns one engine, then release it."""
    texts, lengths = probes.texts, [length for length in _LENGTHS if length <= probes.longest]
    executor = EngineExecutor(loaded, pad_id=0, clock=_CLOCK, seed=0, tidy=lambda: None)
    started = _CLOCK()
    found = executor.warm_up(bucket_lengths(probes.longest))
    notes.add(f"{name}, warm-up", {"seconds": _CLOCK() - started, "batch_invariant": found.together_tokens > 0})
    scores = await gpu_load.alone(executor, texts)
    notes.add(f"{name}, against fp32", compare(scores, probes.expected))
    notes.add(f"{name}, texts whose bits moved", await gpu_load.moved(executor, loaded.batch_tokens, texts, scores))
    notes.add(f"{name}, uniform", await gpu_load.uniform(executor, loaded.batch_tokens, lengths, seconds))
    notes.add(f"{name}, one text at a time", await gpu_load.lone(executor, loaded, lengths, seconds))
    mixed = {callers: await gpu_load.mixed(executor, loaded, texts, callers, seconds) for callers in probes.callers}
    notes.add(f"{name}, mixed through the batcher, by callers", mixed)
    if isinstance(loaded.computing, FixedShapes):
        notes.add(f"{name}, rows in use", {str(length): rows for length, rows in loaded.computing.rungs.items()})
    executor.close()


async def serve(bundle: Path, traffic: Traffic, callers: Sequence[int], seconds: float) -> dict[str, Any]:
    """Start the whole service with the bundle and ask it over HTTP."""
    peer = PEERS["mlapi"]
    places = Places(programs=Path(), model=bundle, redis="", scratch=bundle.parent)
    free_before = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
    try:
        server = Server(peer, places, sorted(os.sched_getaffinity(0)), {}, peer.dialect.write(["a probe"]))
    except ServeError as error:
        return {_UNMEASURED: str(error)}
    with server:
        free_after = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
        found: dict[str, Any] = {
            "first_answer_s": server.first_answer_s,
            "host_memory_mib": server.memory._asdict(),
            "device_memory_mib": (free_before - free_after) / 2**20,
        }
        for connections in callers:
            requests = (server.target.post(peer.single, peer.dialect.write([text])) for text in traffic.mixed())
            outcome = await closed_loop(
                server.target, requests, connections=connections, seconds=seconds, clock=_CLOCK, timeout_s=120.0
            )
            found[f"{connections} connections"] = {
                "texts_per_s": outcome.rate,
                "p50_ms": outcome.quantile_s(0.5) * 1000,
                "p99_ms": outcome.quantile_s(0.99) * 1000,
                "failed": outcome.failed,
            }
    return found


def plan(device: str) -> list[tuple[str, torch.dtype, tuple[int, ...], bool]]:
    """Return what is compared: name, number format, budgets, and whether with graphs."""
    if device == "cpu":
        return [("fp32 in fixed shapes", torch.float32, (32, 128), False)]
    bf16, fp16 = torch.bfloat16, torch.float16
    return [
        ("bf16", bf16, CUDA_BUDGETS, True),
        ("bf16 without graphs", bf16, CUDA_BUDGETS, False),
        ("fp16", fp16, CUDA_BUDGETS, True),
        ("fp32", torch.float32, CUDA_BUDGETS, True),
        ("bf16, up to 4096 tokens", bf16, (*CUDA_BUDGETS[:-1], 4096), True),
        ("bf16, up to 16384 tokens", bf16, (*CUDA_BUDGETS, 16384), True),
        ("bf16, one size", bf16, CUDA_BUDGETS[-1:], True),
    ]


async def run(notes: Notes, device: str, count: int, seconds: float, folder: Path) -> list[str]:
    """Measure everything; return what could not be measured."""
    notes.add("machine", look(device))
    if device == "cpu":
        torch.set_num_threads(1)
    checkpoint = prepare_checkpoint(folder)
    source = Traffic(read_words(TOKENIZER), "gpu")
    # On the processor it is only to be seen that everything works.
    longest = LONGEST if device == "cuda" else _SHORT
    texts = HfTokenizer.load(TOKENIZER, longest).encode(list(islice(source.mixed(), count)))
    probes = Probes(longest, _CALLERS[device], texts, reference(checkpoint, texts))
    peaks, missing = [], []
    for name, number, budgets, graphs in plan(device):
        if device == "cuda":
            peaks.append(matrix_peak(min(1.0, seconds)))
            notes.add("peak of bf16 products, TFLOP/s, over the run", peaks)
        try:
            loaded = engine(checkpoint, number, device, budgets, graphs=graphs)
            await measure(notes, name, loaded, probes, seconds)
        except Exception as error:  # noqa: BLE001  one that fails must not take the others' results along
            notes.add(f"{name}, failed", f"{type(error).__name__}: {str(error)[:600]}")
            missing.append(name)
        if device == "cuda":
            torch.cuda.empty_cache()
    precision: Precision = "bf16" if device == "cuda" else "fp32"
    with tempfile.TemporaryDirectory() as scratch:
        bundle = torch_bundle(checkpoint, Path(scratch) / "bundle", precision)
        served = await serve(bundle.folder.resolve(), source, probes.callers, seconds)
    notes.add(f"service, {precision}", served)
    return [*missing, *(["the service"] if _UNMEASURED in served else [])]


def main() -> None:
    """Read the command line and measure; end with 1 if something could not be."""
    parser = argparse.ArgumentParser(description="Measure the torch engine on a CUDA device.")
    parser.add_argument("output", type=Path, help="where the results go, a JSON file")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--texts", type=int, default=4 * BLOCK, help="texts of mixed length whose scores are compared")
    parser.add_argument("--model", type=Path, default=Path(".tools/bench/model"), help="where the model is, or is made")
    given = parser.parse_args()
    missing = asyncio.run(run(Notes(given.output), given.device, given.texts, given.seconds, given.model))
    if missing:
        sys.exit(f"not measured: {', '.join(missing)}; {given.output} says why")


if __name__ == "__main__":
    main()
