"""The protocol that every store of predictions keeps."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from mlapi.predictions import Prediction


class Store(Protocol):
    """Predictions by text digest (see `mlapi.cache.keys`). A store never raises because a server is slow or gone."""

    async def get_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what is stored, in the order asked for; None where nothing valid is."""

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> AbstractSet[bytes]:
        """Store predictions, or accept them for storing soon; return the texts that will not be kept, or may not be."""

    async def close(self) -> None:
        """Finish what is pending within reason, and release what is held."""


class SharedStore(Store, Protocol):
    """A store that lies behind a network, and can also be asked without a task that waits."""

    def may_ask(self) -> bool:
        """Whether to ask now: the server is not known to fail. Whoever is told so, asks."""

    def request(self, digests: Sequence[bytes], deliver: Callable[[list[Prediction | None]], None]) -> None:
        """Ask for at least one text; `deliver` is called within bounded time, never at once.

        It takes what is stored, in the order asked for; None where nothing valid is.
        """
