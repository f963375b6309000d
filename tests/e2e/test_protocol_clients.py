"""The clients of other servers get the native route's answers from their own protocols, with their defaults."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.source_rules import ROOT
from tests.e2e.dialects import DIALECTS, Scores
from tests.service_process import ServiceProcess

PYTHON: Final = ROOT / ".tools" / "protocols" / "bin" / "python"
PROGRAM: Final = Path(__file__).parent / "clients" / "protocols.py"
TEXTS: Final = ["This movie was fantastic!", "Terrible waste of time", "Ein großartiger Film 🎬, \n und so weiter"]
CLIENTS: Final = {
    "tritonclient 2.73.0",
    "tritonclient 2.73.0, JSON, at the root",
    "kserve 0.21.0, v1",
    "kserve 0.21.0, v2",
    "kserve 0.21.0, v2, at the root",
    "boto3 1.44.8",
    "nemoguardrails 0.24.1, vllm",
    "nemoguardrails 0.24.1, kserve",
    "nemoguardrails 0.24.1, fms",
}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process
        assert process.complaints == []


@pytest.fixture(scope="module")
def answers(service: ServiceProcess) -> dict[str, dict[str, Any]]:
    if not (PYTHON.parents[1] / "installed").exists():
        message = "missing: run tools/protocol_clients.sh"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [PYTHON, PROGRAM, service.url, "/project", "project", *TEXTS],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def expected(service: ServiceProcess) -> list[Scores]:
    return DIALECTS["native"].read(DIALECTS["native"].ask(service.client, TEXTS))


def test_all_of_them_were_asked_in_the_versions_that_are_told(answers: dict[str, dict[str, Any]]) -> None:
    assert set(answers) == CLIENTS


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_a_client_gets_the_native_routes_scores(
    answers: dict[str, dict[str, Any]], expected: list[Scores], client: str
) -> None:
    told = answers[client]
    best = [max(one, key=one.__getitem__) for one in expected]
    if client.endswith("vllm"):  # which says nothing of the other labels
        assert told["scores"] == [{label: one[label]} for one, label in zip(expected, best, strict=True)]
    else:
        # Tensors are float32, which is what all scores are.
        assert told["scores"] == expected
    assert told.get("ready", True)
    assert told.get("same", True)
    assert told.get("labels", best) == best
    assert told.get("classes", best) == best


def test_a_refusal_reaches_the_caller_with_its_reason(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["tritonclient 2.73.0"]["refused"] == ["404", "the model another does not exist here"]
    status, said = answers["boto3 1.44.8"]["refused"]
    assert status == 400
    assert "/inputs: Expected" in said
