"""A need for memory that was measured while nothing was answered is none."""

from pathlib import Path

import pytest

from benchmarks import memory_need
from mlapi.bench.outcome import Outcome


def test_a_service_that_answered_nothing_was_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory_need, "served_peak", lambda _: (10**9, Outcome(lost=7)))
    with pytest.raises(SystemExit, match="mine: no request was answered, 7 were refused: nothing was measured"):
        memory_need.main([Path("models/mine")])
    assert "memory_bytes" not in capsys.readouterr().out
