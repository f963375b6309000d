"""Several models are loaded in their order, and all of them or none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlapi import model as model_module
from mlapi.errors import BundleError
from mlapi.settings import ModelSetting

WANTED = [ModelSetting(f"/{name}", Path(name)) for name in ("first", "second", "third")]


class Loader:
    """Stands for `load`, and remembers which models are held."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.held: list[str] = []
        self._failure = failure

    def __call__(self, bundle: Path, **options: object) -> Any:  # noqa: ANN401  stands for a Model
        assert set(options) == {"engine", "threads", "clock", "imported"}
        if self._failure and bundle.name == "third":
            raise self._failure
        self.held.append(bundle.name)
        return SimpleNamespace(name=bundle.name, executor=SimpleNamespace(close=lambda: self.held.remove(bundle.name)))


def load_all(monkeypatch: pytest.MonkeyPatch, loader: Loader) -> list[Any]:
    monkeypatch.setattr(model_module, "load", loader)
    return list(model_module.load_all(WANTED, engine="", threads=1, clock=lambda: 0.0))


def test_models_are_loaded_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader()
    assert [model.name for model in load_all(monkeypatch, loader)] == loader.held == ["first", "second", "third"]


def test_a_model_that_cannot_be_loaded_is_named_and_the_others_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(BundleError("third is not a model bundle"))
    with pytest.raises(BundleError, match="the model of /third: third is not a model bundle"):
        load_all(monkeypatch, loader)
    assert loader.held == []


def test_whatever_fails_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(RuntimeError("the library broke"))
    with pytest.raises(RuntimeError, match="the library broke"):
        load_all(monkeypatch, loader)
    assert loader.held == []
