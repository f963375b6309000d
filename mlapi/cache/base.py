"""The protocol of the tier that replicas share."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from mlapi.predictions import Prediction


class SharedStore(Protocol):
    """Predictions by text digest (see `mlapi.cache.keys`), behind a network. Never raises because a server is gone."""

    def may_ask(self) -> bool:
        """Whether to ask now: the server is not known to fail.

        A caller that gets True must follow up with `request`: where the server failed, this call is the probe.
        """

    def request(self, digests: Sequence[bytes], deliver: Callable[[list[Prediction | None]], None]) -> None:
        """Ask for at least one text; `deliver` is called within bounded time, never before this returns.

        It takes what is stored, in the order asked for; None where nothing valid is.
        """

    def skip(self, texts: int) -> None:
        """Count texts that were not asked for because `may_ask` said so."""

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> AbstractSet[bytes]:
        """Accept predictions for storing soon; return the texts that will not be stored, or may not be."""

    async def close(self) -> None:
        """Finish what is pending within reason, and release what is held."""
