"""What each scenario is, as k6 itself reads it, and what a run refuses to begin with."""

import json
from typing import Any

import pytest

from tests.loadtest.k6 import SCRIPT_FAILED, inspect, probe

SCENARIOS = ("smoke", "slo", "average", "stress", "spike", "soak", "breakpoint")


def options(**settings: str) -> dict[str, Any]:
    done = inspect(**settings)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def judged(found: dict[str, Any]) -> dict[str, list[str]]:
    return {metric: expressions for metric, expressions in found["thresholds"].items() if expressions}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_requests_arrive_at_a_rate_whatever_the_service_does(scenario: str) -> None:
    found = options(scenario=scenario)
    assert {one["executor"] for one in found["scenarios"].values()} <= {
        "constant-arrival-rate",
        "ramping-arrival-rate",
    }
    assert {"same_answer", "checks"} < set(judged(found))


def test_without_a_scenario_it_is_the_original() -> None:
    found = options()
    assert found == options(scenario="slo")
    (slo,) = found["scenarios"].values()
    rates = [(stage["duration"], stage["target"]) for stage in slo["stages"]]
    assert slo["timeUnit"] == "10s"
    assert rates == [("1m0s", 100), ("10m0s", 100), ("1m0s", 0)]
    assert slo["preAllocatedVUs"] == slo["maxVUs"] == 10
    assert judged(found) == {
        "http_req_duration{scenario:slo}": ["p(99)<2000", "max>0"],
        "hit_rate": ["rate>0.95"],
        "hit_rate_samples": ["count>0"],
        "http_req_failed{scenario:slo}": ["rate<0.001"],
        "http_reqs{scenario:slo}": ["count>0"],
        "checks": ["rate>0.999"],
        "checks_samples": ["count>0"],
        "same_answer": ["rate>=1"],
        "same_answer_samples": ["count>0"],
        "dropped_iterations": ["count<7"],
        "iterations": ["count>0"],
    }


def test_where_refusing_is_allowed_answers_alone_are_judged_and_every_refusal() -> None:
    found = judged(options(scenario="spike"))
    assert found["duration_answer"] == ["p(99)<2000", "max>0"]
    assert found["improper_refusal"] == ["rate<=0"]
    assert "http_req_duration{scenario:spike}" not in found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_goal_is_held_for_want_of_samples(scenario: str) -> None:
    """To k6 a threshold without a sample is kept; one on how many there are is not."""
    found = judged(options(scenario=scenario))
    counted = {metric for metric, expressions in found.items() if expressions[-1] in {"count>0", "max>0"}}
    for metric in set(found) - counted:
        name, brace, tags = metric.partition("{")
        named = {"http_req_failed": "http_reqs", "dropped_iterations": "iterations"}.get(name, f"{name}_samples")
        assert named + brace + tags in counted


def test_rate_duration_and_budget_can_be_chosen() -> None:
    found = options(scenario="slo", rate="2.5", duration="1m30s", p99_ms="1")
    (slo,) = found["scenarios"].values()
    rates = [(stage["duration"], stage["target"]) for stage in slo["stages"]]
    assert rates == [("9s", 25), ("1m30s", 25), ("9s", 0)]
    assert judged(found)["http_req_duration{scenario:slo}"] == ["p(99)<1", "max>0"]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://localhost:8000/project"),
        ({"namespace": "team", "domain": "example.org"}, "https://team.example.org/project"),
        ({"namespace": "team", "domain": "example.org:8443"}, "https://team.example.org:8443/project"),
        ({"namespace": "team", "base_url": "http://service:8000/lab/"}, "http://service:8000/lab"),
        ({"model": "lab"}, "http://localhost:8000/lab"),
        ({"model": "lab", "namespace": "team", "domain": "example.com"}, "https://team.example.com/lab"),
    ],
)
def test_where_requests_go(settings: dict[str, str], url: str) -> None:
    assert probe(**settings)["settings"]["baseUrl"] == url


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scenario": "sloo"}, "SCENARIO=sloo: must be one of smoke, slo, average, stress, spike, soak, breakpoint"),
        ({"model": "labs"}, "MODEL=labs: must be one of project, lab"),
        ({"cache_rate": "95"}, "CACHE_RATE=95: must be a number from 0 to 1"),
        ({"rate": "fast"}, "RATE=fast: must be a number from 0.1 to 100000"),
        ({"duration": "10"}, 'a duration is written like 90s, 10m or 1h30m, not "10"'),
        ({"namespace": "team"}, "NAMESPACE=team without DOMAIN names no host"),
        ({"domain": "example.org"}, "DOMAIN=example.org without NAMESPACE names no host"),
        ({"namespace": "team", "domain": "/"}, "NAMESPACE=team, DOMAIN=/: team./ is no host name"),
        ({"base_url": "localhost:8000"}, "BASE_URL=localhost:8000: must be like http://localhost:8000/project"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(settings: dict[str, str], message: str) -> None:
    done = inspect(**settings)
    assert done.returncode == SCRIPT_FAILED
    assert message.replace('"', '\\"') in done.stderr
