"""A model as the routes know it: where it is served, and its parts once it is loaded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.dialects.base import AnsweringModel
from mlapi.dialects.schemas import ModelInfo
from mlapi.errors import DrainingError, OverloadedError
from mlapi.predictor import Predictor
from mlapi.tokenizing.contributions import Contributions
from mlapi.tokenizing.tokenizer_executor import TokenizerExecutor


class CacheState(Protocol):
    """Tells how the cache is doing."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `disabled`."""

    @property
    def reason(self) -> str | None:
        """Why it is degraded, in words for anyone to read; None where it is not."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The parts that exist once the model is loaded.

    Attributes:
        predictor: answers texts.
        info: which model that is.
        answering: what an answer may say of it.
        cache: how its cache is doing.
        tokenizing: its tokenizer.
        contributions: says what the words of a text add; None where the model does not add them up.
        digest: the model digest, as headers have it.
    """

    predictor: Predictor
    info: ModelInfo
    answering: AnsweringModel
    cache: CacheState
    tokenizing: TokenizerExecutor
    contributions: Callable[[str], Contributions | None] | None = None
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self.info.digest.encode())


class ServedModel:
    """One model of the process.

    Attributes:
        root: what the paths of its routes begin with.
        lifecycle: the process's.
        name: what it is called in metrics, by API keys, and by requests that name a model.
    """

    def __init__(self, root: str, lifecycle: Lifecycle, name: str) -> None:
        self.root = root
        self.lifecycle = lifecycle
        self.name = name
        self._loaded: LoadedModel | None = None

    @property
    def loaded(self) -> LoadedModel:
        """Its parts.

        Raises:
            OverloadedError: the model is not loaded yet.
            DrainingError: it was released already.
        """
        if self._loaded is None:
            if self.lifecycle.phase is Phase.DRAINING:
                msg = "this instance has stopped"
                raise DrainingError(msg, retry_after_s=1)
            msg = "the model is still loading"
            raise OverloadedError(msg, retry_after_s=1)
        return self._loaded

    def open(self, loaded: LoadedModel) -> None:
        """Serve it from now on."""
        self._loaded = loaded

    def close(self) -> None:
        """Serve nothing any more."""
        self._loaded = None
