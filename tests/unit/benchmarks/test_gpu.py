"""A measurement on a device that lacks an engine or the service says so by its exit code."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.torch


def test_what_failed_is_told_and_the_exit_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import gpu  # noqa: PLC0415  PyTorch

    def engine(*_: object, **__: object) -> None:
        msg = "no such device"
        raise RuntimeError(msg)

    async def serve(*_: object) -> dict[str, Any]:
        return {"not measured": "it ended with 3"}

    monkeypatch.setattr(gpu, "prepare_checkpoint", lambda folder: folder)
    monkeypatch.setattr(gpu, "reference", lambda *_: [])
    monkeypatch.setattr(gpu, "engine", engine)
    monkeypatch.setattr(gpu, "torch_bundle", lambda *_: SimpleNamespace(folder=tmp_path))
    monkeypatch.setattr(gpu, "serve", serve)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    output = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", str(output), "--device", "cpu", "--texts", "1", "--model", str(tmp_path)])
    with pytest.raises(SystemExit, match="not measured: fp32 in fixed shapes, the service; "):
        gpu.main()
    assert json.loads(output.read_text(encoding="utf-8"))["fp32 in fixed shapes, failed"].endswith("no such device")
