"""A process that was told to stop never says that it is ready."""

from typing import Any

import pytest

from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.api.served_model import LoadedModel, ServedModel
from mlapi.dialects.schemas import ModelInfo
from mlapi.errors import DrainingError, OverloadedError


def loaded_model() -> LoadedModel:
    info = ModelInfo(
        name="m",
        digest="0",
        bundle_digest="1",
        labels=["a"],
        max_tokens=8,
        engine="fake",
        precision="fp32",
        evaluation=None,
        evaluations=[],
    )
    absent: Any = None  # nobody asks the other parts
    return LoadedModel(absent, info, absent, absent, absent)


def test_it_serves_between_opening_and_closing() -> None:
    lifecycle = Lifecycle()
    served = ServedModel("/project", lifecycle, "project")
    with pytest.raises(OverloadedError):
        assert served.loaded
    loaded = loaded_model()
    served.open(loaded)
    lifecycle.open()
    assert (served.lifecycle.phase, served.loaded) == (Phase.READY, loaded)
    lifecycle.drain()
    assert (served.lifecycle.phase, served.loaded) == (Phase.DRAINING, loaded)
    served.close()
    with pytest.raises(DrainingError):
        assert served.loaded


def test_a_signal_during_the_start_is_not_forgotten() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    lifecycle.open()
    assert lifecycle.phase is Phase.DRAINING
