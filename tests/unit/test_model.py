"""Several models are loaded in their order, all of them or none, and none where memory does not suffice."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mlapi import model as model_module
from mlapi.bundles.manifest import MANIFEST_NAME, render
from mlapi.bundles.store import read_manifest
from mlapi.errors import BundleError, ConfigurationError
from mlapi.model import BASE_BYTES
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE, ModelSetting

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


MIB = 1024 * 1024


def declare(folder: Path, **needs: int | None) -> list[ModelSetting]:
    """Write a manifest for each root, of a model that needs so much memory, or does not say how much."""
    manifest = read_manifest(LAB_BUNDLE)
    for name, need in needs.items():
        (folder / name).mkdir()
        (folder / name / MANIFEST_NAME).write_bytes(render(msgspec.structs.replace(manifest, memory_bytes=need)))
    return [ModelSetting(f"/{name}", folder / name) for name in needs]


def begin(monkeypatch: pytest.MonkeyPatch, wanted: list[ModelSetting], limit: int, engine: str = "") -> list[str]:
    """Load where so many bytes may be used, 64 MiB of them for L1; return what was loaded."""
    loader = Loader()
    monkeypatch.setattr(model_module, "load", loader)
    model_module.load_all(wanted, engine=engine, threads=1, clock=lambda: 0.0, l1_bytes=64 * MIB, limit_bytes=limit)
    return loader.held


def test_models_that_fit_to_the_byte_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = declare(tmp_path, a=100 * MIB, b=20 * MIB)
    assert begin(monkeypatch, wanted, BASE_BYTES + 184 * MIB) == ["a", "b"]


def test_models_that_do_not_fit_stop_the_start_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = declare(tmp_path, a=100 * MIB, b=20 * MIB, c=None)
    with pytest.raises(ConfigurationError) as refused:
        begin(monkeypatch, wanted, BASE_BYTES + 184 * MIB - 1)
    base = round(BASE_BYTES / MIB)
    assert refused.value.detail == (
        f"this needs {base + 184} MiB of memory, and the process may use {base + 184} MiB: {base} MiB for the service "
        "itself, 64 MiB for MLAPI_L1_BYTES, 100 MiB for the model of /a, 20 MiB for the model of /b"
    )


def test_models_that_do_not_say_what_they_need_are_not_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert begin(monkeypatch, declare(tmp_path, a=None, b=None), MIB) == ["a", "b"]


def test_what_a_bundle_says_is_about_its_own_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = declare(tmp_path, a=1000 * MIB)
    assert begin(monkeypatch, wanted, MIB, engine="fake") == ["a"]
    with pytest.raises(ConfigurationError):
        begin(monkeypatch, wanted, MIB, engine="linear")


@pytest.mark.parametrize(("bundle", "limit"), [(DEFAULT_BUNDLE, 512), (LAB_BUNDLE, 256)])
def test_the_shipped_bundles_say_what_they_need_and_fit_into_their_pods(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, limit: int
) -> None:
    assert read_manifest(bundle).memory_bytes
    assert begin(monkeypatch, [ModelSetting("/it", bundle)], limit * MIB) == [bundle.name]


def test_both_shipped_bundles_fit_into_one_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [ModelSetting("/project", DEFAULT_BUNDLE), ModelSetting("/lab", LAB_BUNDLE)]
    assert len(begin(monkeypatch, wanted, 512 * MIB)) == 2
