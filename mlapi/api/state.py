"""What the routes know of the running service, and whether it takes traffic."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mlapi.dialects.base import AnsweringModel
from mlapi.dialects.schemas import ModelInfo
from mlapi.errors import DrainingError, OverloadedError
from mlapi.predictor import Predictor


class Phase(StrEnum):
    """The life of a process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class CacheState(Protocol):
    """Tells how the cache is doing."""

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `disabled`."""

    @property
    def reason(self) -> str | None:
        """Why it is degraded, in words for anyone to read; None where it is not."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that exist once the model is loaded.

    Attributes:
        predictor: answers texts.
        model: which model that is.
        answering: what an answer may say of it.
        cache: how the cache is doing.
        digest_header: the response header that says which model answered.
    """

    predictor: Predictor
    model: ModelInfo
    answering: AnsweringModel
    cache: CacheState
    digest_header: tuple[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Write the header once, for all answers."""
        object.__setattr__(self, "digest_header", (b"model-digest", self.model.digest.encode()))


class ServiceState:
    """The one mutable thing that routes, lifespan and signal handling share."""

    def __init__(self) -> None:
        """Start out without a model."""
        self.phase = Phase.STARTING
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The loaded service.

        Raises:
            OverloadedError: the model is not loaded yet.
            DrainingError: it was released already.
        """
        if self._service is None:
            if self.phase is Phase.DRAINING:
                msg = "this instance has stopped"
                raise DrainingError(msg, retry_after_s=1)
            msg = "the model is still loading"
            raise OverloadedError(msg, retry_after_s=1)
        return self._service

    def open(self, service: Service) -> None:
        """Take traffic, unless the process was told to stop in the meantime."""
        self._service = service
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def drain(self) -> None:
        """Tell the load balancer to look elsewhere; requests that come all the same are still served."""
        self.phase = Phase.DRAINING

    def close(self) -> None:
        """Serve nothing any more."""
        self.phase = Phase.DRAINING
        self._service = None
