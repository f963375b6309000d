"""A process that was told to stop never says that it is ready."""

from typing import Any

import pytest

from mlapi.api.state import Phase, Service, ServiceState
from mlapi.dialects.schemas import ModelInfo
from mlapi.errors import DrainingError, OverloadedError


def service() -> Service:
    model = ModelInfo(
        name="m",
        digest="0",
        labels=["a"],
        max_tokens=8,
        engine="fake",
        precision="fp32",
        evaluation=None,
        evaluations=[],
    )
    absent: Any = None  # nobody asks the other parts
    return Service(absent, model, absent, absent)


def test_it_serves_between_opening_and_closing() -> None:
    state = ServiceState()
    with pytest.raises(OverloadedError):
        assert state.service
    loaded = service()
    state.open(loaded)
    assert (state.phase, state.service) == (Phase.READY, loaded)
    state.drain()
    assert (state.phase, state.service) == (Phase.DRAINING, loaded)
    state.close()
    with pytest.raises(DrainingError):
        assert state.service


def test_a_signal_during_the_start_is_not_forgotten() -> None:
    state = ServiceState()
    state.drain()
    state.open(service())
    assert state.phase is Phase.DRAINING
