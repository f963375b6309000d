"""What the GPU's script wrote becomes a section, failures included."""

import json

from benchmarks import gpu_report

PEAK = "peak of bf16 products, TFLOP/s, over the run"


def test_engines_are_compared_and_failures_are_said() -> None:
    rates = {"texts_per_s": 1000.0, "tokens_per_s": 1.0, "tflops": 400.0}
    notes = {
        "machine": {"device": "a card", "processors": 16, "torch": "2", "transformers": "5"},
        PEAK: [700.0, 800.0],
        "bf16, warm-up": {"seconds": 4.0, "batch_invariant": True},
        "bf16, against fp32": {"furthest": 0.01, "other_label": 1, "clear_texts": 900},
        "bf16, texts whose bits moved": {"in batches": 0, "shuffled": 2},
        "bf16, uniform": {"16": rates, "128": rates, "512": rates},
        "bf16, one text at a time": {"16": {"p50_ms": 0.5}},
        "bf16, mixed through the batcher, by callers": {"16": {"texts_per_s": 5000.0}},
        "bf16, up to 4096 tokens, failed": "RuntimeError: no memory",
        "service, bf16": {"not measured": "no module"},
    }
    text = gpu_report.render(json.dumps(notes).encode())
    assert "best of 2 800 TFLOP/s (from 700)" in text
    row = "| bf16 | 4 | 0.01 | 1 of 900 | 2 | 1 000 / 1 000 / 1 000 | 50 % / 50 % / 50 % | 0.5 | 5 000 |"
    assert row in text
    assert "| bf16, up to 4096 tokens | failed: RuntimeError: no memory" in text
    assert "was not measured: no module" in text
