"""Each model is judged on its own: nothing that has a model is mixed with another's, unless it is the process's."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitoring.dashboards.catalogue import DASHBOARDS
from monitoring.dashboards.panels import Dashboard
from monitoring.render import rendered
from tests.contract.test_metrics_catalogue import CATALOGUE as ALWAYS
from tests.contract.test_metrics_catalogue import LEARNING_CATALOGUE
from tests.monitoring.queries import (
    RULE_FILES,
    Query,
    dashboard_queries,
    grouping_labels,
    made_labels,
    rule_queries,
    scaler_queries,
    selectors,
)
from tests.programs import find_program

CATALOGUE: Final = ALWAYS | LEARNING_CATALOGUE

OF_THE_PROCESS: Final = {
    "recording.yaml: job:mlapi_inference_seconds:rate1m",
    "recording.yaml: job:mlapi_queue_tokens:sum",
    "model.json: Cost of 1 000 predictions A",
    "model.json: Cost of 1 000 predictions B",
}
"""Sums over all models of a process: the signals of scaling, and what a pod costs, whose processors they share."""


def has_model(name: str) -> bool:
    """Say whether a series is one model's."""
    family = re.sub(r"_(total|bucket|sum|count)$", "", name)
    return name.startswith(("job_model:", "job_model_")) or any(
        "model" in CATALOGUE.get(known, ("", set()))[1] for known in (name, family)
    )


def of_models(query: Query) -> bool:
    return bool(made_labels(query.expr)) or any(has_model(name) for name, _ in selectors(query.expr))


def mixes(query: Query) -> bool:
    """Say whether an aggregation of the query drops the model of something that has one."""
    aggregated = re.search(r"\b(sum|min|max|avg|count|quantile|group)\b\s*(by|without)?", query.expr)
    return of_models(query) and bool(aggregated) and "model" not in grouping_labels(query.expr)


RULES: Final[list[dict[str, Any]]] = [
    rule
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


def test_models_are_mixed_only_where_the_process_is_meant() -> None:
    queries = rule_queries() + dashboard_queries()
    assert {query.where for query in queries if mixes(query)} == OF_THE_PROCESS


def test_a_mixture_is_found() -> None:
    assert mixes(Query("", "sum by (namespace, job) (rate(mlapi_texts_total[5m]))"))
    assert mixes(Query("", "count by (digest) (mlapi_model_info)"))
    assert mixes(Query("", "min(job_model:mlapi_cache_hits:ratio_rate5m)"))
    assert not mixes(Query("", "sum by (model) (rate(mlapi_batch_texts_sum[5m]))"))
    assert not mixes(Query("", "sum(mlapi_ready)"))


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: rule["alert"])
def test_an_alert_names_the_model_if_it_is_about_one(rule: dict[str, Any]) -> None:
    named = "$labels.model " in rule["annotations"]["summary"]
    assert named == of_models(Query("", rule["expr"]))


@pytest.mark.parametrize(
    "query",
    [query for query in dashboard_queries() if of_models(query) and query.where not in OF_THE_PROCESS],
    ids=lambda query: query.where,
)
def test_a_picture_of_models_says_which_and_shows_the_chosen(query: Query) -> None:
    assert "{{model}}" in query.legend
    assert all("model" in labels for name, labels in selectors(query.expr) if has_model(name))


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_a_dashboard_of_models_lets_one_choose_them(page: Dashboard) -> None:
    variables = {
        variable["name"]: variable
        for variable in json.loads(rendered()[f"dashboards/{page.name}.json"])["templating"]["list"]
    }
    assert ("model" in variables) == (page.name in {"service", "cache", "model"})
    if "model" in variables:
        chosen = variables["model"]
        assert (chosen["multi"], chosen["includeAll"], chosen["allValue"]) == (True, True, ".*")
        assert chosen["current"]["value"] == "$__all"


def test_the_scaler_gets_one_number_of_all_models(tmp_path: Path) -> None:
    """KEDA refuses an answer of several series, and half of the work would be half of the pods."""
    labels = 'namespace="mlapi",job="mlapi",instance="one:8000"'
    series = {
        f'mlapi_inference_seconds_total{{{labels},model="project"}}': "0+12x10",
        f'mlapi_inference_seconds_total{{{labels},model="lab"}}': "0+3x10",
        f'mlapi_queue_tokens{{{labels},model="project"}}': "600x10",
        f'mlapi_queue_tokens{{{labels},model="lab"}}': "500x10",
    }
    expected = {"compute": 1, "queue": 1100}
    queries = {query.where.rpartition(" ")[2]: query.expr for query in scaler_queries()}
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"round({queries[name]}, 0.001)",
                "eval_time": "2m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for name, value in expected.items()
        ],
    }
    path = tmp_path / "scaler.yaml"
    path.write_text(yaml.safe_dump({"tests": [case]}), encoding="utf-8")
    done = subprocess.run(
        [find_program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
