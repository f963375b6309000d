"""Finds an engine by its name and a tokenizer by its file, importing their libraries only then."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from mlapi.bundles.store import Bundle
from mlapi.engines.base import Engine
from mlapi.engines.telemetry import decline
from mlapi.errors import BundleError, ConfigurationError
from mlapi.tokenizing.base import ReadingTokenizer

ENGINES: Final = {
    "fake": "mlapi.engines.fake:FakeEngine",
    "linear": "mlapi.engines.linear:LinearEngine",
    "openvino": "mlapi.engines.openvino:OpenVinoEngine",
    "torch": "mlapi.engines.torch:TorchEngine",
}

TOKENIZERS: Final = {
    "tokenizer.json": "mlapi.tokenizing.tokenizer:HfTokenizer",
    "vocabulary.json": "mlapi.tokenizing.ngrams:NgramTokenizer",
}


@dataclass(frozen=True, slots=True)
class TokenizerKind:
    """A kind of tokenizer whose library is imported.

    Attributes:
        file: the file of a bundle that it reads.
        normalisation: the version of its canonical forms, part of the model digest.
        load: makes a tokenizer out of that file's path and the manifest's `max_tokens`; raises `BundleError`.
    """

    file: str
    normalisation: str
    load: Callable[[Path, int | None], ReadingTokenizer]


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


def import_tokenizer(files: Collection[str]) -> TokenizerKind:
    """Return the kind of tokenizer that a bundle with these files has.

    Raises:
        BundleError: none of the files is a tokenizer's.
    """
    for file, place in TOKENIZERS.items():
        if file in files:
            module_name, _, class_name = place.partition(":")
            module = import_module(module_name)
            return TokenizerKind(file, module.NORMALISATION_VERSION, getattr(module, class_name).load)
    msg = f"the bundle has no tokenizer: none of {', '.join(TOKENIZERS)}"
    raise BundleError(msg)
