"""Counters and histograms for the event loop's thread: without the locks that prometheus_client takes.

prometheus_client guards every increment with a lock and two checks, because any thread may count. These are counted by
one thread only, the one that also writes `/metrics`; naming, registry and text format stay prometheus_client's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

T = TypeVar("T")


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count so many more."""
        self.value += amount


class Spread:
    """One series of a histogram."""

    __slots__ = ("_bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty; `bounds` are the buckets' upper ones, rising."""
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(self._bounds, value)] += 1
        self.sum += value


class _Labelled(Generic[T]):
    """The series of one metric by their label values."""

    def __init__(self, name: str, labels: Sequence[str], new: Callable[[], T]) -> None:
        self._name = name
        self.names = tuple(labels)
        self._new = new
        self.series: dict[tuple[str, ...], T] = {}

    def __call__(self, *values: str) -> T:
        """Return the series of these label values, creating it empty.

        Raises:
            ValueError: not as many values as labels.
        """
        series = self.series.get(values)
        if series is None:
            if len(values) != len(self.names):
                msg = f"{self._name} has the labels {self.names}, not {len(values)}"
                raise ValueError(msg)
            series = self.series[values] = self._new()
        return series


class TallyCounter(Collector):
    """A counter with labels: `counter.labels("get", "hit").inc()`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        """Register a counter whose name ends in `_total`."""
        self._name = name
        self._documentation = documentation
        self.labels = _Labelled(name, labels, Count)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Hand all series to prometheus_client."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self.labels.names)
        for values, count in self.labels.series.items():
            family.add_metric(values, count.value)
        yield family


class TallyHistogram(Collector):
    """A histogram with labels: `histogram.labels("/predict").observe(0.002)`."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """Register a histogram; `buckets` are upper bounds, rising, without the infinite one."""
        self._name = name
        self._documentation = documentation
        bounds = tuple(buckets)
        self._bound_names = [*map(floatToGoString, bounds), "+Inf"]
        self.labels = _Labelled(name, labels, lambda: Spread(bounds))
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Hand all series to prometheus_client."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self.labels.names)
        for values, spread in self.labels.series.items():
            cumulative = map(float, accumulate(spread.buckets))
            family.add_metric(values, list(zip(self._bound_names, cumulative, strict=True)), spread.sum)
        yield family
