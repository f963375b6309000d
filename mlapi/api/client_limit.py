"""Limits how many texts a second one client may send."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mlapi.api.listening import plain_address
from mlapi.errors import RateLimitedError

_MAX_CLIENTS: Final = 10_000
_BURST_S: Final = 1.0


def client_name(header: bytes, peer: str) -> str:
    """Return whom a request counts for: the value of the header that names clients, else the caller's address."""
    return header.decode("latin-1") if header else plain_address(peer)


class ClientLimit:
    """The generic cell rate algorithm (ITU-T I.371): one number a client, no timer, and a bounded number of clients."""

    def __init__(self, texts_per_s: float, clock: Callable[[], float]) -> None:
        """Allow that many texts a second, with a burst of one second's worth; 0 makes the limit inactive."""
        self.active = texts_per_s > 0
        self._texts_per_s = texts_per_s
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def check(self, client: str, texts: int) -> None:
        """Count texts of a client. A request larger than the burst is let through when the client owes nothing.

        Raises:
            RateLimitedError: the client has sent too much too fast; says when to come back.
        """
        now = self._clock()
        paid_until = max(now, self._paid_until.get(client, now))
        cost = texts / self._texts_per_s
        wait = paid_until - now - max(0.0, _BURST_S - cost)
        if wait > 0:
            msg = f"one client may send {self._texts_per_s:g} texts per second"
            raise RateLimitedError(msg, retry_after_s=max(1, math.ceil(wait)))
        self._paid_until[client] = paid_until + cost
        self._paid_until.move_to_end(client)
        if len(self._paid_until) > _MAX_CLIENTS:
            self._paid_until.popitem(last=False)
