"""A run that measured nothing, or that is not the one its goals are for, does not pass."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.loadtest.impostor import PRIMED, Answer, impostor, right
from tests.loadtest.k6 import GOALS_MISSED, SCRIPT, SCRIPT_FAILED, Outcome, environment, k6_command, run_load

SCRIPT_ABORTED = 108
INTERRUPTED = 105
SMOKE = {"scenario": "smoke", "duration": "1s"}


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with impostor(lambda _, texts: right(texts)) as url:
        yield url


def run_k6(folder: Path, *arguments: str, variables: dict[str, str] | None = None, **settings: str) -> Outcome:
    command = k6_command("run", "--quiet", *arguments, **settings)
    done = subprocess.run(
        command, cwd=folder, env=environment(variables), capture_output=True, text=True, timeout=60, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr, folder)


@pytest.mark.parametrize(
    "flags",
    [
        ("--vus=5", "--duration=3s"),
        ("--iterations=3",),
        ("--stage=1s:2",),
        ("--execution-segment=0:1/4",),
        ("--rps=1",),
        ("--min-iteration-duration=1s",),
    ],
)
def test_a_load_that_the_command_line_replaced_is_refused(flags: tuple[str, ...], service: str, tmp_path: Path) -> None:
    done = run_load(tmp_path, *flags, **SMOKE, base_url=service)
    assert done.exit_code == SCRIPT_FAILED
    assert "k6 would not run what was planned" in done.errors
    assert "Every goal was held" not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "variables", [{"K6_ITERATIONS": "3"}, {"K6_VUS": "5", "K6_DURATION": "3s"}, {"K6_STAGES": "1s:2"}, {"K6_RPS": "1"}]
)
def test_a_load_that_the_environment_replaced_is_refused(
    variables: dict[str, str], service: str, tmp_path: Path
) -> None:
    done = run_k6(tmp_path, str(SCRIPT), variables=variables, **SMOKE, base_url=service)
    assert done.exit_code == SCRIPT_FAILED
    assert "k6 would not run what was planned" in done.errors


def test_an_archive_runs_the_plan_that_it_was_made_with_and_no_other(service: str, tmp_path: Path) -> None:
    archive = tmp_path / "load.tar"
    subprocess.run(
        k6_command("archive", "--archive-out", str(archive), str(SCRIPT), **SMOKE, base_url=service),
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert run_k6(tmp_path, str(archive)).exit_code == 0
    for name, value in (("SCENARIO", "slo"), ("RATE", "7"), ("DURATION", "2s"), ("P99_MS", "1")):
        done = run_k6(tmp_path, f"-e{name}={value}", str(archive))
        assert done.exit_code == SCRIPT_FAILED, name
        assert "k6 would not run what was planned" in done.errors


def test_without_the_setup_nothing_is_judged(service: str, tmp_path: Path) -> None:
    done = run_load(tmp_path, "--no-setup", **SMOKE, base_url=service)
    assert done.exit_code == SCRIPT_ABORTED
    assert "Every goal was held" not in done.output


def test_without_thresholds_no_goal_is_said_to_be_held(service: str, tmp_path: Path) -> None:
    done = run_load(tmp_path, "--no-thresholds", **SMOKE, base_url=service)
    assert "NOT held: p99 of requests (not measured)" in done.output


def test_statistics_that_the_goals_need_cannot_be_left_out(service: str, tmp_path: Path) -> None:
    done = run_load(tmp_path, "--summary-trend-stats=min,avg", **SMOKE, base_url=service)
    assert done.exit_code == SCRIPT_FAILED
    assert "--summary-trend-stats leaves out med, max, p(90), p(95), p(99), p(99.99)" in done.errors


def test_a_goal_whose_samples_k6_was_told_to_leave_untagged_is_not_held(service: str, tmp_path: Path) -> None:
    done = run_load(tmp_path, "--system-tags=status", **SMOKE, base_url=service)
    assert done.exit_code == GOALS_MISSED
    assert done.missed == {"p99 of requests", "failed requests"}
    assert re.search(r"FAILED  p99 of requests +< 2000ms +not measured", done.output)


def test_a_run_that_was_interrupted_does_not_pass(tmp_path: Path) -> None:
    begun = Event()

    def answer(number: int, texts: int) -> Answer:
        if number > PRIMED:
            begun.set()
        return right(texts)

    with impostor(answer) as url:
        command = k6_command("run", "--quiet", str(SCRIPT), scenario="smoke", duration="60s", rate="50", base_url=url)
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as k6:
            assert begun.wait(30)
            k6.terminate()
            output, errors = k6.communicate(timeout=30)
    assert k6.returncode == INTERRUPTED, errors
    assert re.search(r"NOT held: the run ended after [\d.]+s of 1m", output)
