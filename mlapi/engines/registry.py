"""Finds an engine by its name, importing its library only then."""

from collections.abc import Callable
from importlib import import_module
from typing import Final

from mlapi.bundles.store import Bundle
from mlapi.engines.base import Engine
from mlapi.engines.telemetry import decline
from mlapi.errors import ConfigurationError

ENGINES: Final = {
    "fake": "mlapi.engines.fake:FakeEngine",
    "openvino": "mlapi.engines.openvino:OpenVinoEngine",
    "torch": "mlapi.engines.torch:TorchEngine",
}


def load_engine(name: str, bundle: Bundle, threads: int) -> Engine:
    """Load a bundle into the named engine, with that many processor threads.

    Raises:
        ConfigurationError: no such engine, or its library is not installed.
        BundleError: the bundle does not hold what the engine needs.
    """
    return import_engine(name)(bundle, threads)


def import_engine(name: str) -> Callable[[Bundle, int], Engine]:
    """Return what loads a bundle into the named engine, its library imported.

    Raises:
        ConfigurationError: no such engine, or its library is not installed.
    """
    if name not in ENGINES:
        msg = f"there is no engine {name!r}; choose one of {', '.join(sorted(ENGINES))}"
        raise ConfigurationError(msg)
    decline()
    module_name, _, class_name = ENGINES[name].partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        msg = f"the engine {name!r} needs the package {error.name}: pip install 'mlapi[{name}]'"
        raise ConfigurationError(msg) from error
    load: Callable[[Bundle, int], Engine] = getattr(module, class_name).load
    return load
