"""The protocol that every store of predictions keeps."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from mlapi.predictions import Prediction


class Store(Protocol):
    """Predictions by text digest (see `mlapi.cache.keys`). A store never raises because a server is slow or gone."""

    async def get_many(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what is stored, in the order asked for; None where nothing valid is."""

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> None:
        """Store predictions, or accept them for storing soon."""

    async def close(self) -> None:
        """Finish what is pending within reason, and release what is held."""
