"""Every PromQL expression that the project delivers, in rules and rendered dashboards, and what it names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

from monitoring.render import COMPONENT

MONITORING: Final = Path(__file__).parents[2] / "monitoring"
RULE_FILES: Final = sorted((MONITORING / "rules").glob("*.yaml"))
DASHBOARD_FILES: Final = sorted((COMPONENT / "dashboards").glob("*.json"))
SCALED_OBJECT: Final = COMPONENT.parent / "autoscaling-by-compute" / "scaled-object.yaml"

_VARIABLES: Final = {"$__rate_interval": "1m", "$namespace": ".*", "$job": ".*", "$model": ".*", "$price": "0.04"}
_COMPARISONS: Final = {"==", "!=", ">", "<", ">=", "<="}
_SETS: Final = {"and", "or", "unless"}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression without Grafana's variables; where it stands; the recorded name, if it is a recording rule's."""

    where: str
    expr: str
    legend: str = ""
    record: str = ""


def rule_queries() -> list[Query]:
    return [
        Query(
            f"{path.name}: {rule.get('alert') or rule['record']}{rule.get('labels', {}).get('long', '')}",
            rule["expr"],
            record=rule.get("record", ""),
        )
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def dashboard_queries() -> list[Query]:
    return [
        Query(f"{path.name}: {panel['title']} {target['refId']}", _filled_in(target["expr"]), target["legendFormat"])
        for path in DASHBOARD_FILES
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", [])
    ]


def scaler_queries() -> list[Query]:
    return [
        Query(f"scaled-object.yaml: {trigger['name']}", trigger["metadata"]["query"])
        for trigger in yaml.safe_load(SCALED_OBJECT.read_text(encoding="utf-8"))["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]


def variable_queries() -> list[tuple[str, str]]:
    """Return selector and label of each `label_values(selector, label)`."""
    texts = [
        variable["query"]
        for path in DASHBOARD_FILES
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]
        if variable["type"] == "query"
    ]
    found = [re.fullmatch(r"label_values\((.+), (\w+)\)", text) for text in texts]
    return [(_filled_in(match[1]), match[2]) for match in found if match]


def nodes(expr: str) -> list[Any]:
    """Return every node of an expression's tree."""
    seen: list[Any] = []
    promql.walk(promql.parse(expr), seen.append)
    return seen


def selectors(expr: str) -> list[tuple[str, set[str]]]:
    """Return each selected metric with the labels that its matchers name."""
    return [
        (node.name or "", {matcher.name for matcher in node.matchers.matchers})
        for node in nodes(expr)
        if isinstance(node, promql.VectorSelector)
    ]


def grouping_labels(expr: str) -> set[str]:
    """Return the labels that `by`, `on`, `ignoring` and their like name."""
    labels: set[str] = set()
    for node in nodes(expr):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier:
            labels.update(node.modifier.matching.labels if node.modifier.matching else ())
            labels.update(node.modifier.group_labels or ())
    return labels


def made_labels(expr: str) -> set[str]:
    """Return the labels that `label_replace` gives."""
    calls = [node for node in nodes(expr) if isinstance(node, promql.Call) and node.func.name == "label_replace"]
    return {call.args[1].val for call in calls}


def always_there(expr: str) -> list[str]:
    """Return the parts of an expression that have a value whether or not an alert fires.

    A comparison is true only in trouble, so its two sides are taken, and those of what joins conditions.
    """
    return [str(part) for part in _parts(promql.parse(expr)) if selectors(str(part))]


def _parts(node: promql.Expr) -> Iterator[promql.Expr]:
    if isinstance(node, promql.ParenExpr):
        yield from _parts(node.expr)
    elif isinstance(node, promql.BinaryExpr) and str(node.op) in _COMPARISONS | _SETS:
        yield from _parts(node.lhs)
        yield from _parts(node.rhs)
    elif isinstance(node, promql.Call) and node.func.name == "absent":
        yield from _parts(node.args[0])
    else:
        yield node


def _filled_in(expr: str) -> str:
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return expr
