"""Answers and counts what a server refuses before there is a request that a route could serve."""

from typing import Final

from mlapi.api.fallback import UNKNOWN_ROUTE
from mlapi.api.headers import RequestIds
from mlapi.dialects.problems import problem, refusal_headers
from mlapi.errors import MlapiError
from mlapi.observability.metrics import Metrics

_NO_METHOD: Final = "other"


class EarlyRefusals:
    """Refuses in the form in which the routes do: a problem document with an id, and one more in the metrics."""

    def __init__(self, metrics: Metrics, request_ids: RequestIds) -> None:
        self._metrics = metrics
        self._request_ids = request_ids

    def answer(self, error: MlapiError) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Count a refusal after which the connection ends; return the headers and the body of its answer."""
        request_id = self._request_ids.choose(b"").decode()
        refusal = problem(error, request_id)
        headers = [item for item in refusal_headers(error, refusal, request_id) if item[0] != b"connection"]
        self._metrics.http_requests.labels(UNKNOWN_ROUTE, _NO_METHOD, str(int(error.status))).inc()
        return [*headers, (b"connection", b"close")], refusal.body
