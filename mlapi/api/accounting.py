"""Counts what the routes answered."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from mlapi.errors import BatchTooLargeError, MlapiError, RateLimitedError
from mlapi.observability.metrics import ModelMetrics
from mlapi.predictions import Prediction, Source, SourceCounts

_OK: Final = 200

_FAILURES: Final = ("500", "503", "504")
"""Statuses that the availability objective counts; shown as 0 from the start."""

_FEW: Final = 16
"""Up to so many, counting one by one is faster than counting together."""


class Accounting:
    """Writes the request metrics; series are resolved once, because the hot path cannot afford it every time.

    Attributes:
        streams: how many streams of lines are open.
        answered_lines, refused_lines: counts their lines.
    """

    def __init__(self, metrics: ModelMetrics, route: str) -> None:
        """Count for one route template, such as `/project/predict`."""
        service = metrics.service
        self._requests = service.http_requests
        self._route = route
        self._served = service.http_requests.labels(route, "POST", "200")
        # A series that begins with its first failure hides it: a rate needs a sample from before.
        for status in _FAILURES:
            service.http_requests.labels(route, "POST", status)
        self._duration = service.http_request_duration.labels(route)
        self._l1, self._l2, self._collapsed, self._model = (metrics.texts(source.value) for source in Source)
        self._winner = cache(metrics.predictions)
        self._truncated = metrics.truncated_texts
        self._shed = metrics.shed
        self.streams = metrics.streams
        self.answered_lines = metrics.stream_lines("answered")
        self.refused_lines = metrics.stream_lines("refused")

    def request(self, status: int, seconds: float) -> None:
        """Count one request."""
        if status == _OK:
            self._served.value += 1
        else:
            self._requests.labels(self._route, "POST", str(status)).inc()
        self._duration.observe(seconds)

    def stream(self, status: int, method: str = "POST") -> None:
        """Count one request that was a stream: it lasts as long as its caller likes, which is no latency."""
        self._requests.labels(self._route, method, str(status)).inc()

    def sources(self, counts: SourceCounts) -> None:
        """Count texts that were asked for on the way to something else: none of them is a text that was answered."""
        for count, number in zip((self._l1, self._l2, self._collapsed, self._model), counts, strict=True):
            count.value += number

    def texts(self, predictions: Sequence[Prediction], *, l1: int, l2: int, collapsed: int, model: int) -> int:
        """Count the texts of one answered request; return how many of them were truncated."""
        self._collapsed.value += collapsed
        self._model.value += model
        return self.known_texts(predictions, l1, l2)

    def known_texts(self, predictions: Sequence[Prediction], l1: int, l2: int) -> int:
        """Count the texts of a request of which the cache held all."""
        self._l1.value += l1
        self._l2.value += l2
        winner = self._winner
        if len(predictions) > _FEW:
            winners = [prediction.label for prediction in predictions]
            for label in set(winners):
                winner(label).value += winners.count(label)
            truncated = [prediction.truncated for prediction in predictions].count(True)
        else:
            truncated = 0
            for prediction in predictions:
                winner(prediction.label).value += 1
                if prediction.truncated:
                    truncated += 1
        if truncated:
            self._truncated.inc(truncated)
        return truncated

    def refusal(self, error: MlapiError) -> None:
        """Count a refusal that no mechanism below counted: the client's share, and what can never fit."""
        if isinstance(error, RateLimitedError | BatchTooLargeError):
            self._shed(error.code).inc()
