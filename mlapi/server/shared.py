"""What the connections of a server share, and how all of them write heads of answers."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from mlapi.api.early_refusals import EarlyRefusals
from mlapi.errors import MlapiError
from mlapi.server.limits import Holding, Limits
from mlapi.server.requests import Choosy, Requests


class Shared:
    """Their requests, their bounds, and their refusals.

    Attributes:
        requests: reads heads.
        limits: the bounds of each connection.
        holding: counts what all connections hold that is not a request yet.
        websockets: the paths on which callers may change to WebSocket.
    """

    def __init__(
        self,
        fast_paths: Mapping[bytes, Choosy],
        refusals: EarlyRefusals,
        limits: Limits,
        websockets: AbstractSet[str] = frozenset(),
    ) -> None:
        """Take the parts.

        Args:
            fast_paths: what may answer plain requests, by target.
            refusals: answer requests that are none.
            limits: the bounds of each connection.
            websockets: the paths that speak WebSocket.
        """
        self.websockets = websockets
        self.requests = Requests(fast_paths, limits.head_bytes)
        self.limits = limits
        self.holding = Holding()
        self._refusals = refusals

    def refusal(self, error: MlapiError, default_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Count a refusal, and return its answer; `default_headers` are the server's own."""
        headers, body = self._refusals.answer(error)
        return opening(int(error.status), [*default_headers, *headers]) + b"\r\n" + body


def opening(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Write the first line of an answer, and headers."""
    return STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers])
