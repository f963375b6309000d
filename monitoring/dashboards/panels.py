"""What a dashboard is made of, as plain data."""

from dataclasses import dataclass
from typing import Final, Literal

OURS: Final = 'namespace=~"$namespace", job=~"$job"'
"""Selects the service's own series by the variables at the top of every dashboard."""

THEIRS: Final = 'namespace=~"$namespace"'
"""Selects series about Kubernetes objects, whose `job` is the exporter's."""

CONTAINER: Final = f'{THEIRS}, container="mlapi"'

Unit = Literal["short", "percentunit", "s", "bytes", "reqps", "ops", "none", "currencyUSD"]
"""Grafana's names of units."""

Kind = Literal["graph", "number"]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and how each of its series is called: a template such as `{{route}}`."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: what it shows, in words, and the queries that draw it; `columns` are of 24 in a row."""

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    columns: int = 8
    kind: Kind = "graph"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page; `name` is its address and its file, `inputs` are text variables with their defaults."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    inputs: tuple[tuple[str, str, str], ...] = ()
    """Name, label and default of each."""


def quantiles(histogram: str, selector: str) -> tuple[Query, ...]:
    """Return the median, the 95th and the 99th percentile of a histogram."""
    buckets = f"sum by (le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({quantile}, {buckets})", name)
        for quantile, name in (("0.5", "median"), ("0.95", "p95"), ("0.99", "p99"))
    )
