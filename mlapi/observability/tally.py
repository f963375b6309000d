"""Counters and histograms for the event loop's thread: without the locks that cost a cached answer a tenth of its time.

prometheus_client guards every increment with a lock and two checks, because any thread may count. These are counted by
one thread only, the one that also writes `/metrics`; naming, registry and text format stay prometheus_client's.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Start at nothing."""
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count so many more."""
        self.value += amount


class TallyCounter(Collector):
    """A counter with labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        """Register a counter whose name ends in `_total`."""
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._series: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Return the series of these label values, creating it at zero.

        Raises:
            ValueError: not as many values as labels.
        """
        series = self._series.get(values)
        if series is None:
            if len(values) != len(self._labels):
                msg = f"{self._name} has the labels {self._labels}, not {len(values)}"
                raise ValueError(msg)
            series = self._series[values] = Count()
        return series

    def collect(self) -> Iterator[Metric]:
        """Hand all series to prometheus_client."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, series in self._series.items():
            family.add_metric(values, series.value)
        yield family


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


class TallyHistogram(Collector):
    """A histogram with labels."""

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
        self._labels = tuple(labels)
        self._bounds = tuple(buckets)
        self._bound_names = [*map(floatToGoString, self._bounds), "+Inf"]
        self._series: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """Return the series of these label values, creating it empty.

        Raises:
            ValueError: not as many values as labels.
        """
        series = self._series.get(values)
        if series is None:
            if len(values) != len(self._labels):
                msg = f"{self._name} has the labels {self._labels}, not {len(values)}"
                raise ValueError(msg)
            series = self._series[values] = Spread(self._bounds)
        return series

    def collect(self) -> Iterator[Metric]:
        """Hand all series to prometheus_client."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, series in self._series.items():
            cumulative = accumulate(series.buckets)
            family.add_metric(values, list(zip(self._bound_names, map(float, cumulative), strict=True)), series.sum)
        yield family
