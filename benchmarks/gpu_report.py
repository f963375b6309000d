"""Renders what `python -m benchmarks.gpu` measured as Markdown."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.targets import number

_STEPS: Final = {
    "warm-up": "warm_up",
    "against fp32": "answers",
    "texts whose bits moved": "moved",
    "uniform": "uniform",
    "one text at a time": "lone",
    "mixed through the batcher, by callers": "mixed",
    "failed": "failed",
}


def render(content: bytes) -> str:
    """Return the section about the GPU."""
    notes = json.loads(content)
    return "\n".join([*_machine(notes), "", *_engines(notes), "", *_service(notes)]) + "\n"


def _machine(notes: Mapping[str, Any]) -> Iterator[str]:
    machine = notes["machine"]
    peaks = notes.get("peak of bf16 products, TFLOP/s, over the run", [])
    device = f"{machine.get('device', 'no GPU')}, {machine['processors']} processors"
    yield f"{device}, torch {machine['torch']}, transformers {machine['transformers']}."
    if peaks:
        best = f"{number(max(peaks))} TFLOP/s (from {number(min(peaks))})"
        yield f"Peak of bf16 matrix products in the same run: best of {len(peaks)} {best}."


def _engines(notes: Mapping[str, Any]) -> Iterator[str]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in notes.items():
        engine, _, step = name.rpartition(", ")
        for suffix, short in _STEPS.items():
            if name.endswith(f", {suffix}"):
                engine = name.removesuffix(f", {suffix}")
                found.setdefault(engine, {})[short] = value
        del step
    peak = max(notes.get("peak of bf16 products, TFLOP/s, over the run", [0.0]) or [0.0])
    yield (
        "| | warm-up, s | furthest from fp32 | other label, of clear texts | texts whose bits moved "
        "| full batches of 16 / 128 / 512 tokens, texts/s | share of the bf16 peak | lone text of 16 tokens, ms "
        "| mixed, 16 / 64 / 512 callers, texts/s |"
    )
    yield "|---" * 9 + "|"
    for engine, steps in found.items():
        if "failed" in steps:
            yield f"| {engine} | failed: {steps['failed'][:200]} {'| ' * 8}|"
            continue
        yield f"| {engine} | {' | '.join(_cells(steps, peak))} |"


def _cells(steps: Mapping[str, Any], peak: float) -> Iterator[str]:
    answers, uniform, lone = steps["answers"], steps["uniform"], steps["lone"]
    yield number(steps["warm_up"]["seconds"])
    yield number(answers["furthest"])
    yield f"{answers['other_label']} of {answers['clear_texts']}"
    yield number(sum(steps["moved"].values()))
    lengths = [uniform[length] for length in ("16", "128", "512") if length in uniform]
    yield " / ".join(number(item["texts_per_s"]) for item in lengths)
    yield " / ".join(f"{100 * item['tflops'] / peak:.0f} %" for item in lengths) if peak else "-"
    yield number(lone["16"]["p50_ms"])
    yield " / ".join(number(item["texts_per_s"]) for item in steps["mixed"].values())


def _service(notes: Mapping[str, Any]) -> Iterator[str]:
    for name, value in notes.items():
        if not name.startswith("service, "):
            continue
        if "not measured" in value:
            yield f"The whole service over HTTP was not measured: {value['not measured']}"
            continue
        rates = ", ".join(
            f"{number(item['texts_per_s'])} with {callers}"
            for callers, item in value.items()
            if callers.endswith(" connections")
        )
        memory = value["host_memory_mib"]
        yield (
            f"The whole service over HTTP, {name.removeprefix('service, ')}, misses of mixed length, texts/s: {rates}. "
            f"First answer after {number(value['first_answer_s'])} s; host memory {number(memory['now'])} MiB, peak "
            f"{number(memory['peak'])}; device memory {number(value['device_memory_mib'])} MiB."
        )
