"""Counts what the routes answered."""

from collections.abc import Sequence
from http import HTTPStatus

from mlapi.errors import BatchTooLargeError, MlapiError, RateLimitedError
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction, Source


class Accounting:
    """Writes the request metrics; series are resolved once, because the hot path cannot afford it every time."""

    def __init__(self, metrics: Metrics, route: str) -> None:
        """Count for one route template, such as `/project/predict`."""
        self._requests = metrics.http_requests
        self._route = route
        self._served = metrics.http_requests.labels(route, "POST", "200")
        self._duration = metrics.http_request_duration.labels(route)
        self._sources = [(source, metrics.texts.labels(source.value)) for source in Source]
        self._predictions = metrics.predictions
        self._truncated = metrics.truncated_texts
        self._shed = metrics.shed

    def request(self, status: int, seconds: float) -> None:
        """Count one request."""
        if status == HTTPStatus.OK:
            self._served.inc()
        else:
            self._requests.labels(self._route, "POST", str(status)).inc()
        self._duration.observe(seconds)

    def texts(self, predictions: Sequence[Prediction], sources: Sequence[Source]) -> int:
        """Count the texts of one answered request; return how many of them were truncated."""
        for source, series in self._sources:
            series.inc(sources.count(source))
        truncated = 0
        for prediction in predictions:
            self._predictions.labels(prediction.label).inc()
            truncated += prediction.truncated
        if truncated:
            self._truncated.inc(truncated)
        return truncated

    def refusal(self, error: MlapiError) -> None:
        """Count a refusal that no mechanism below counted: the client's share, and what can never fit."""
        if isinstance(error, RateLimitedError | BatchTooLargeError):
            self._shed.labels(error.code).inc()
