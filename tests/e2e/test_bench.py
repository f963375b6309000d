"""`mlapi bench` as its users run it: against the real process, with figures for people and for machines."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api_keys import KeysFile
from tests.service_process import HOST, ServiceProcess, run_mlapi

SHORT = ("--seconds", "0.3", "--known", "20", "--connections", "4")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake") as process:
        yield process


def figures(service: ServiceProcess, *options: str) -> dict[str, Any]:
    done = run_mlapi("bench", service.url + service.root, *SHORT, *options, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


MODEL = 'mlapi_texts_total{model="project",source="model"}'


def test_known_texts_are_asked_for_first_and_every_request_after_that_is_a_hit(service: ServiceProcess) -> None:
    with service.counting() as rises:
        found = figures(service)
    assert found["failed"] == found["lost"] == 0
    assert found["statuses"] == {"200": found["answered"]}
    assert found["answered"] == pytest.approx(found["requests_per_s"] * found["seconds"])
    assert found["texts_per_s"] == 2 * found["requests_per_s"]
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"] <= found["p100_ms"]
    assert rises[MODEL] == 20
    assert (
        sum(rise for name, rise in rises.items() if name.startswith("mlapi_texts_total")) == 20 + 2 * found["answered"]
    )


def test_the_share_of_new_texts_reaches_the_model(service: ServiceProcess) -> None:
    with service.counting() as rises:
        found = figures(service, "--hit-ratio", "0", "--batch", "3")
    assert rises[MODEL] == 20 + 3 * found["answered"]


def test_a_constant_rate_is_kept(service: ServiceProcess) -> None:
    found = figures(service, "--rate", "100", "--seconds", "1")
    assert found["answered"] == 100
    assert found["seconds"] >= 0.98


def test_a_seed_makes_the_same_texts_again(service: ServiceProcess) -> None:
    figures(service, "--seed", "again")
    with service.counting() as rises:
        assert figures(service, "--seed", "again")["seed"] == "again"
    assert MODEL not in rises


def test_people_get_a_line_a_figure_and_are_told_what_is_going_on(service: ServiceProcess) -> None:
    done = run_mlapi("bench", service.url + service.root, *SHORT)
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"requests_per_s", "p99_ms", "failed", "seed"}
    assert "asking for 20 texts" in done.stderr
    assert "as fast as they are answered, for 0.3 s" in done.stderr


def test_refused_requests_are_counted_by_status_and_told_by_the_exit_code() -> None:
    with ServiceProcess(engine="fake", client_texts_per_s="30") as limited:
        done = run_mlapi("bench", limited.url + limited.root, *SHORT, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["failed"] == found["statuses"]["429"] > 0


def test_a_run_in_which_nothing_was_asked_is_no_success(service: ServiceProcess) -> None:
    done = run_mlapi("bench", service.url + service.root, *SHORT, "--seconds", "1e-300", "--json")
    assert json.loads(done.stdout)["answered"] == 0
    assert done.returncode == 1
    assert "no request was answered with 200: there is nothing to tell" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--known", "100"), "/project/bulk-predict answered 413 when it was asked for the known texts"),
        (("--tokenizer", "nowhere.json"), "no words to make texts of: [Errno 2] No such file or directory"),
    ],
)
def test_what_hinders_it_is_said(options: tuple[str, ...], message: str) -> None:
    with ServiceProcess(engine="fake", max_texts="50") as narrow:
        done = run_mlapi("bench", narrow.url + narrow.root, *SHORT, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_a_service_that_is_not_there_is_said_to_be() -> None:
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        done = run_mlapi("bench", f"http://{HOST}:{bound.getsockname()[1]}/project", *SHORT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot connect to" in done.stderr


@pytest.mark.parametrize("url", ["https://localhost/project", "localhost:8000", "http://localhost:port"])
def test_an_address_that_it_cannot_use_is_wrong_usage(url: str) -> None:
    assert run_mlapi("bench", url, *SHORT).returncode == 2


def test_help_says_what_it_does_and_what_its_exit_codes_mean() -> None:
    done = run_mlapi("bench", "--help")
    assert done.returncode == 0
    for part in ("--hit-ratio", "--rate", "--json", "Exit codes: 0 every request was answered"):
        assert part in done.stdout


def test_a_service_with_keys_is_asked_with_one(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    (tmp_path / "bench.key").write_text(f"{keys.add('bench')}\n", encoding="ascii")
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as service:
        assert figures(service, "--key-file", str(tmp_path / "bench.key"))["failed"] == 0
        done = run_mlapi("bench", service.url + service.root, *SHORT)
        assert (done.returncode, "answered 401" in done.stderr) == (1, True)
