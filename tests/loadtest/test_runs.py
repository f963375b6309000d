"""Load tests of the real process with the real k6: what holds, what must fail, and what the summary says about it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlapi.settings import LAB_BUNDLE
from tests.e2e.api_keys import KeysFile
from tests.loadtest.k6 import GOALS_MISSED, SCRIPT, SCRIPT_FAILED, Outcome, environment, k6_command, run_load
from tests.service_process import ServiceProcess, eventually
from tools.private_redis import PrivateRedis


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", root_path="/project") as process:
        yield process


def base_url(service: ServiceProcess) -> str:
    return f"{service.url}{service.root}"


def test_smoke_passes_and_its_numbers_are_the_services_own(service: ServiceProcess, tmp_path: Path) -> None:
    with service.counting() as rises:
        done = run_load(tmp_path, scenario="smoke", duration="3s", rate="25", base_url=base_url(service), seed="smoke")
    assert done.exit_code == 0, done.output + done.errors
    assert "Every goal was held." in done.output
    report = done.report
    assert report["held"]
    assert report["texts"]["l1"] == rises['mlapi_texts_total{model="project",source="l1"}']
    # Those that made the hot set known come before anything is measured.
    assert report["texts"]["model"] + 64 == rises['mlapi_texts_total{model="project",source="model"}']
    assert done.goal("hit rate")["value"] == pytest.approx(0.96, abs=0.02)
    assert report["model"] == service.client.get("/project/model").json()["digest"]
    assert report["seed"] == "smoke"


def test_the_report_needs_nothing_but_itself(service: ServiceProcess, tmp_path: Path) -> None:
    run_load(tmp_path, scenario="smoke", duration="1s", base_url=base_url(service), report="mine")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.html", "mine.json"}
    html = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert html.count("<svg") == html.count("</svg>") == 4
    assert not re.search(r"<script|<link|@import|url\(|src=|NaN|undefined|Infinity", html)


def test_the_original_command_line_works_as_it_is(service: ServiceProcess, tmp_path: Path) -> None:
    command = k6_command(
        "run", "--summary-trend-stats", "min,avg,med,max,p(90),p(95),p(99),p(99.99)", str(SCRIPT), namespace="team"
    )
    shortened = {"BASE_URL": base_url(service), "DURATION": "2s", "RATE": "30"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(shortened), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'mlapi load test "slo"' in done.stdout
    assert re.search(r"answers +(\d+\.\d+m?s *){8}\n", done.stdout)


def test_a_budget_that_nothing_could_keep_is_missed_by_name(service: ServiceProcess, tmp_path: Path) -> None:
    asked = {"scenario": "smoke", "duration": "2s", "cache_rate": "1", "p99_ms": "0.01"}
    done = run_load(tmp_path, **asked, base_url=base_url(service))
    assert done.exit_code == GOALS_MISSED
    # A busy machine may miss others too.
    assert re.search(r"\nNOT held: .*p99 of requests", done.output)
    assert re.search("thresholds on metrics '.*http_req_duration{scenario:smoke}.*' have been crossed", done.errors)


def test_texts_that_are_all_new_miss_the_hit_rate_by_name(service: ServiceProcess, tmp_path: Path) -> None:
    done = run_load(tmp_path, scenario="smoke", duration="2s", base_url=base_url(service), cache_rate="0")
    assert done.exit_code == GOALS_MISSED
    assert re.search(r"\nNOT held: .*hit rate", done.output)
    assert done.goal("hit rate")["value"] == 0
    assert re.search("thresholds on metrics '.*hit_rate.*' have been crossed", done.errors)


def test_redis_killed_in_the_middle_costs_nothing(redis_server: PrivateRedis, tmp_path: Path) -> None:
    with ServiceProcess(engine="fake", redis_url=redis_server.url) as service:
        command = k6_command("run", "--quiet", str(SCRIPT), scenario="smoke", rate="10", base_url=base_url(service))
        with subprocess.Popen(
            [*command, "-eDURATION=6s"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as k6:
            eventually(lambda: service.metric("mlapi_texts_total", source="l1") > 40, "load", 30)
            redis_server.kill()
            output, errors = k6.communicate(timeout=60)
            done = Outcome(k6.returncode, output, errors, tmp_path)
        assert service.metric("mlapi_cache_operations_total", operation="get", result="error", tier="l2") > 0
    # Requests that were never sent are this machine's fault, which has k6 and everything else to run.
    assert done.missed <= {"requests not sent: all users busy"}, output + errors
    assert done.report["requests"]["failed"] == done.report["requests"]["refused"] == 0


def test_breakpoint_goes_past_the_knee_and_known_texts_are_still_answered(tmp_path: Path) -> None:
    with ServiceProcess(threads="1", max_waiting_tokens="4096", deadline_s="4") as service:
        done = run_load(tmp_path, scenario="breakpoint", duration="6s", rate="120", base_url=base_url(service))
    report = done.report
    assert report["requests"]["refused"] > 0
    assert report["knee"]["found"]
    assert re.search(r"knee +at \d+\.\d requests/s of new texts; beyond it, .+ \d+ texts/s at most\n", done.output)
    assert done.goal("refusals without Retry-After")["value"] == 0
    assert done.goal("known texts refused")["value"] == 0
    assert report["texts"]["l1"] > 0


def test_without_a_service_it_says_so_and_writes_no_report(tmp_path: Path) -> None:
    done = run_load(tmp_path, scenario="smoke", base_url="http://127.0.0.1:9/project")
    assert done.exit_code == SCRIPT_FAILED
    assert "no mlapi at http://127.0.0.1:9/project" in done.errors
    assert list(tmp_path.iterdir()) == []


def test_the_small_model_is_asked_as_the_large_one_is(tmp_path: Path) -> None:
    with ServiceProcess(bundle=str(LAB_BUNDLE), root_path="/lab") as small:
        done = run_load(tmp_path, scenario="smoke", duration="2s", rate="40", base_url=base_url(small), seed="lab")
    assert done.exit_code == 0, done.output + done.errors
    assert done.goal("hit rate")["value"] == pytest.approx(0.96, abs=0.03)


def test_a_service_with_keys_is_asked_with_one(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    key = keys.add("load")
    with ServiceProcess(engine="fake", root_path="/project", keys_file=str(keys.path)) as service:
        chosen = {"SCENARIO": "smoke", "DURATION": "1s", "BASE_URL": base_url(service)}
        for given, code in ((str(key), 0), ("", SCRIPT_FAILED)):
            done = subprocess.run(
                k6_command("run", str(SCRIPT)),
                cwd=tmp_path,
                env=environment(chosen | {"API_KEY": given}),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == code, done.stdout + done.stderr
            assert ("asks for an API key (status 401)" in done.stderr) == (code != 0)
            assert key.secret.decode() not in done.stdout + done.stderr
        written = [path for path in tmp_path.iterdir() if path.name.startswith("load-report")]
        assert len(written) == 2
        assert not [path for path in written if key.secret in path.read_bytes()]
