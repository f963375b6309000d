"""Limits how many texts a second one client may send."""

from collections.abc import Callable
from typing import Final

from mlapi.api.cell_rate import CellRate
from mlapi.api.listening import plain_address
from mlapi.errors import RateLimitedError

_BURST_S: Final = 1.0


def client_name(header: bytes, peer: str) -> str:
    """Return whom a request counts for: the value of the header that names clients, else the caller's address."""
    return header.decode("latin-1") if header else plain_address(peer)


class ClientLimit:
    """So many texts a second for each client, with a burst of one second's worth."""

    def __init__(self, texts_per_s: float, clock: Callable[[], float]) -> None:
        """Allow that many texts a second; 0 makes the limit inactive."""
        self.active = texts_per_s > 0
        self._texts_per_s = texts_per_s
        if self.active:
            self._rate = CellRate(texts_per_s, burst_s=_BURST_S, clock=clock)

    def check(self, client: str, texts: int) -> None:
        """Count texts of a client, where the limit is active; see `CellRate.wait_s`.

        Raises:
            RateLimitedError: the client has sent too much too fast; says when to come back.
        """
        if wait_s := self._rate.wait_s(client, texts):
            msg = f"one client may send {self._texts_per_s:g} texts per second"
            raise RateLimitedError(msg, retry_after_s=wait_s)
