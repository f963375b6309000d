"""What a dashboard is made of, as plain data."""

from dataclasses import dataclass
from typing import Final, Literal

OURS: Final = 'namespace=~"$namespace", job=~"$job"'
"""Selects the service's own series by the variables at the top of every dashboard."""

PREDICTIONS: Final = 'route=~".*(predict|/hf|/classify|/infer|/invocations|/contents)"'
"""Selects requests for predictions, in whatever wire format."""

OF_MODELS: Final = f'{OURS}, model=~"$model"'
"""Selects those of the service's own series that have a model; a dashboard that uses it gets the variable."""

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

    @property
    def chooses_models(self) -> bool:
        """Whether a query asks which models are chosen."""
        return any("$model" in query.expr for row in self.rows for panel in row.panels for query in panel.queries)


def quantiles(histogram: str, selector: str) -> tuple[Query, ...]:
    """Return the median, the 95th and the 99th percentile of a histogram, for each model where it has one."""
    by_model = "$model" in selector
    labels, prefix = ("model, le", "{{model}} ") if by_model else ("le", "")
    buckets = f"sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({quantile}, {buckets})", f"{prefix}{name}")
        for quantile, name in (("0.5", "median"), ("0.95", "p95"), ("0.99", "p99"))
    )
