"""The rules are valid, every alert is tested both ways, and every alert leads to its heading in the runbook."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mlapi.dialects.schemas import Health, ModelInfo
from tests.programs import find_program

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "monitoring" / "rules"
FILES: Final = sorted(FOLDER.glob("*.yaml"))
UNIT_TESTS: Final = sorted((FOLDER / "tests").glob("*.yaml"))
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS: Final[list[dict[str, Any]]] = [
    rule
    for path in FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def identity(alert: dict[str, Any]) -> tuple[str, str]:
    """Return what tells alerts apart: the name, and the long window of those that share one."""
    return alert["alert"], alert["labels"].get("long", "")


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([find_program("promtool"), *arguments], capture_output=True, text=True, check=False)


@cache
def unit_tests() -> list[dict[str, Any]]:
    """Return every expectation about an alert, of all files."""
    return [
        expectation
        for path in UNIT_TESTS
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for expectation in case["alert_rule_test"]
    ]


def test_the_rules_are_valid() -> None:
    done = promtool("check", "rules", "--lint-fatal", *map(str, FILES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_the_alerts_fire_when_they_should(path: Path) -> None:
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_would_say_when_an_alert_stays_silent(tmp_path: Path) -> None:
    alerts = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    (tmp_path / "alerts.yaml").write_text(
        alerts.replace("mlapi_cache_breaker_state > 0", "mlapi_cache_breaker_state > 2")
    )
    (tmp_path / "recording.yaml").write_text((FOLDER / "recording.yaml").read_text(encoding="utf-8"))
    (tmp_path / "tests").mkdir()
    copy = tmp_path / "tests" / "alerts.yaml"
    cases = yaml.safe_load((FOLDER / "tests" / "alerts.yaml").read_text(encoding="utf-8"))
    cases["tests"] = [case for case in cases["tests"] if case["name"].startswith("one pod lost Redis")]
    copy.write_text(yaml.safe_dump(cases), encoding="utf-8")
    done = promtool("test", "rules", str(copy))
    assert done.returncode != 0
    assert "MlapiCacheBreakerOpen" in done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join(filter(None, identity(alert))))
def test_an_alert_is_tested_both_ways(alert: dict[str, Any]) -> None:
    name, window = identity(alert)
    firing = [
        any(expected["exp_labels"].get("long", "") == window for expected in expectation["exp_alerts"])
        for expectation in unit_tests()
        if expectation["alertname"] == name
    ]
    assert set(firing) == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join(filter(None, identity(alert))))
def test_an_alert_says_how_urgent_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    name, _ = identity(alert)
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_heading_for_each_alert_and_no_other() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    assert sorted(headings) == sorted({alert["alert"] for alert in ALERTS})


@pytest.mark.parametrize("heading", sorted({alert["alert"] for alert in ALERTS}))
def test_a_heading_of_the_runbook_says_something(heading: str) -> None:
    section = RUNBOOK.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert len(section.split()) > 20


def test_what_the_runbook_reads_from_an_answer_is_in_it() -> None:
    """Behind a route: the members of its answer, in brackets."""
    models: dict[str, Any] = {"health": Health, "model": ModelInfo}
    found = re.findall(r"`GET /project/(\w+)`[^.\n]*? \(((?:`[\w.]+`(?:, )?)+)\)", RUNBOOK)
    assert found
    assert len(found) == len(re.findall(r"`GET /project/\w+`[^.\n]*\(", RUNBOOK))
    for route, members in found:
        for member in re.findall(r"[\w.]+", members):
            kind = models[route]
            for name in member.split("."):
                assert name in kind.model_fields, member
                kind = kind.model_fields[name].annotation


def test_links_inside_the_runbook_lead_somewhere() -> None:
    headings = {heading.lower() for heading in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= headings


def test_a_pair_of_windows_fires_when_its_share_of_thirty_days_is_spent() -> None:
    shares = {"1h": 0.02, "6h": 0.05, "1d": 0.1, "3d": 0.1}
    hours = {"1h": 1, "6h": 6, "1d": 24, "3d": 72}
    for alert in ALERTS:
        window = alert["labels"].get("long")
        if window:
            factors = {float(factor) for factor in re.findall(r"> ([\d.]+) \*", alert["expr"])}
            assert list(factors) == pytest.approx([shares[window] * 30 * 24 / hours[window]]), alert["alert"]


def test_the_objectives_count_every_route_that_predicts() -> None:
    """Availability all of them; latency those that are not for bulk, explain nothing and predict."""
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    routes = {path for path, operations in paths.items() if "post" in operations}
    assert len(routes) >= 3
    for group, counted in (
        ("mlapi-availability", routes),
        ("mlapi-latency", {route for route in routes if not re.search("bulk|explain|tokenize", route)}),
    ):
        groups = yaml.safe_load((FOLDER / "recording.yaml").read_text(encoding="utf-8"))["groups"]
        (rules,) = [found["rules"] for found in groups if found["name"] == group]
        for rule in rules:
            patterns = set(re.findall(r'route=~"([^"]+)"', rule["expr"]))
            assert len(patterns) == 1, rule["record"]
            matched = {route for route in routes for pattern in patterns if re.fullmatch(pattern, route)}
            assert matched == counted, rule["record"]
