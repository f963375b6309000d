"""What the CPU engine keeps for shapes of batches that it has computed is bounded where its graph has fixed scales."""

import os
import subprocess
import sys
from typing import Final

import pytest

from mlapi.engines.arithmetic import Arithmetic
from mlapi.engines.openvino import bound_kernels, compile_settings

SCALED: Final = Arithmetic("int8-static", "for a test", "f32", static=True, streams=2)

GROWN: Final = """
import sys
import numpy as np
import openvino as ov
from mlapi.bundles.store import open_bundle
from mlapi.engines.arithmetic import Arithmetic
from mlapi.engines.openvino import DEVICE, bound_kernels, compile_settings, read_graph
from mlapi.settings import DEFAULT_BUNDLE

chosen = Arithmetic("int8-static", "for a test", "f32", static=True)
settings = compile_settings(chosen, 2)
if sys.argv[1] == "bounded":
    bound_kernels(chosen)
else:
    del settings["CPU_RUNTIME_CACHE_CAPACITY"]
graph = ov.Core().compile_model(read_graph(open_bundle(DEFAULT_BUNDLE), chosen), DEVICE, settings)
request = graph.create_infer_request()


def compute(rows, length):
    ids = np.full((rows, length), 2000, np.int64)
    request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)}, share_inputs=True)


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


# The largest first: what grows after that is not the memory of a batch.
for shape in ((1, 512), (8, 64), (64, 8), (1, 8)):
    compute(*shape)
before = resident()
for length in range(8, 193, 8):
    for rows in range(1, min(24, 512 // length) + 1):
        compute(rows, length)
print(resident() - before)
"""


def grown(kind: str) -> float:
    """Return by how many MiB a process grows that computes 184 shapes."""
    done = subprocess.run([sys.executable, "-c", GROWN, kind], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_kernels_for_shapes_that_were_computed_once_are_dropped() -> None:
    bounded, whole = grown("bounded"), grown("library's own bounds")
    assert whole > 120, f"without bounds the process grew by {whole:.0f} MiB only: _KERNELS may no longer be needed"
    assert bounded < 0.7 * whole


def test_a_bound_that_the_process_was_started_with_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "77")
    bound_kernels(SCALED)
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "77"


def test_a_graph_that_scales_what_it_computes_keeps_the_library_s_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    dynamic = Arithmetic("int8-dynamic", "for a test", "f32")
    bound_kernels(dynamic)
    assert "ONEDNN_PRIMITIVE_CACHE_CAPACITY" not in os.environ
    assert "CPU_RUNTIME_CACHE_CAPACITY" not in compile_settings(dynamic, 2)
