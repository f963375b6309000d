"""Rendered files are fresh, dashboards well formed, and no query names a metric or a label that does not exist."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitoring.dashboards.catalogue import DASHBOARDS
from monitoring.dashboards.panels import Dashboard
from monitoring.render import COMPONENT, rendered
from tests.contract.test_metrics_catalogue import CATALOGUE as ALWAYS
from tests.contract.test_metrics_catalogue import FEEDBACK_CATALOGUE
from tests.monitoring.queries import (
    Query,
    dashboard_queries,
    grouping_labels,
    made_labels,
    nodes,
    rule_queries,
    scaler_queries,
    selectors,
    variable_queries,
)

CATALOGUE: Final = ALWAYS | FEEDBACK_CATALOGUE
FOREIGN: Final = (Path(__file__).parent / "foreign.prom").read_text(encoding="utf-8")
TARGET_LABELS: Final = {"namespace", "job", "instance", "pod"}
"""What Prometheus itself attaches to every series of a target."""
ITS_OWN: Final = {"up": TARGET_LABELS}
DEFAULTS: Final = {
    "process_cpu_seconds_total": set[str](),
    "process_max_fds": set[str](),
    "process_open_fds": set[str](),
    "process_resident_memory_bytes": set[str](),
    "process_start_time_seconds": set[str](),
    "python_gc_collections_total": {"generation"},
}
"""The client library's own metrics that we use; the test of the metrics' catalogue sees them exposed."""

QUERIES: Final = rule_queries() + dashboard_queries() + scaler_queries()


def samples(family: str, kind: str, labels: set[str]) -> dict[str, set[str]]:
    """Return the names and labels of a family's samples."""
    if kind == "histogram":
        return {f"{family}_bucket": labels | {"le"}, f"{family}_sum": labels, f"{family}_count": labels}
    return {f"{family}_total" if kind == "counter" else family: labels}


def vocabulary() -> dict[str, set[str]]:
    """Return every series name that a query may use, with the labels that it has."""
    known = dict(ITS_OWN)
    for family, (kind, labels) in CATALOGUE.items():
        known |= {name: found | TARGET_LABELS for name, found in samples(family, kind, labels).items()}
    known |= {name: labels | TARGET_LABELS for name, labels in DEFAULTS.items()}
    for foreign in text_string_to_metric_families(FOREIGN):
        known |= {sample.name: set(sample.labels) | TARGET_LABELS for sample in foreign.samples}
    return known | {query.record: grouping_labels(query.expr) for query in rule_queries() if query.record}


KNOWN: Final = vocabulary()


def unknown(query: Query) -> list[str]:
    """Return what a query names and nobody exposes."""
    named = selectors(query.expr)
    strangers = [name for name, _ in named if name not in KNOWN]
    strangers += [f"{name}.{label}" for name, labels in named for label in labels - KNOWN.get(name, labels)]
    everywhere = {label for name, _ in named for label in KNOWN.get(name, set())} | made_labels(query.expr)
    used = grouping_labels(query.expr) | set(re.findall(r"{{(\w+)}}", query.legend))
    return strangers + sorted(used - everywhere)


def test_rendered_files_are_fresh() -> None:
    """Otherwise: `python -m monitoring.render`."""
    paths = [*(COMPONENT / "dashboards").iterdir(), COMPONENT / "prometheus-rule.yaml"]
    committed = {path.relative_to(COMPONENT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    assert committed == rendered()


def test_the_prometheus_rule_holds_the_rules() -> None:
    rule = yaml.safe_load((COMPONENT / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    expressions = {entry["expr"] for group in rule["spec"]["groups"] for entry in group["rules"]}
    assert expressions == {query.expr for query in rule_queries()}


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_a_dashboard_fills_its_rows(page: Dashboard) -> None:
    for row in page.rows:
        widths = [panel.columns for panel in row.panels]
        assert all(24 % width == 0 for width in widths), row.title
        titles = [panel.title for panel in row.panels]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_panels_do_not_overlap(page: Dashboard) -> None:
    panels: list[dict[str, Any]] = json.loads(rendered()[f"dashboards/{page.name}.json"])["panels"]
    taken = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + line)
        for panel in panels
        for column in range(panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert {column for column, _ in taken} <= set(range(24))
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_a_panel_explains_itself(page: Dashboard) -> None:
    for row in page.rows:
        for panel in row.panels:
            assert panel.description.endswith("."), panel.title
            assert panel.queries, panel.title
            legends = [query.legend for query in panel.queries]
            assert len(set(legends)) == len(legends), panel.title


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_names_only_what_exists(query: Query) -> None:
    assert nodes(query.expr)
    assert unknown(query) == []


@pytest.mark.parametrize(("selector", "label"), variable_queries())
def test_a_variable_names_only_what_exists(selector: str, label: str) -> None:
    assert unknown(Query("variable", f"count by ({label}) ({selector})")) == []


@pytest.mark.parametrize(
    ("expr", "legend", "found"),
    [
        ("mlapi_texts", "", ["mlapi_texts"]),
        ('mlapi_texts_total{origin="l1"}', "", ["mlapi_texts_total.origin"]),
        ("sum by (tier) (mlapi_texts_total)", "", ["tier"]),
        ("mlapi_texts_total", "{{tier}}", ["tier"]),
        ('rate(job_model:mlapi_texts:rate5m{source="l1"}[5m])', "", ["job_model:mlapi_texts:rate5m.source"]),
    ],
)
def test_a_mistake_is_found(expr: str, legend: str, found: list[str]) -> None:
    assert unknown(Query("example", expr, legend)) == found


def test_every_foreign_metric_is_used() -> None:
    used = {name for query in QUERIES for name, _ in selectors(query.expr)}
    foreign = {sample.name for family in text_string_to_metric_families(FOREIGN) for sample in family.samples}
    assert foreign <= used


def test_every_metric_of_the_service_is_used() -> None:
    used = {name for query in QUERIES for name, _ in selectors(query.expr)}
    unused = [family for family, (kind, labels) in CATALOGUE.items() if not used & set(samples(family, kind, labels))]
    assert unused == []
