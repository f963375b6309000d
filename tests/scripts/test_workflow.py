"""The workflow of GitHub Actions: two linters like it, and its run lines do what they should, in their order."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.programs import find_delivery_tool, find_program
from tests.scripts.workshop import Workshop

pytestmark = pytest.mark.timeout(600)  # as in test_build_push.py

WORKFLOWS = ROOT / ".github" / "workflows"
PATH = WORKFLOWS / "delivery.yaml"
WORKFLOW: Mapping[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
JOBS: Mapping[str, Any] = WORKFLOW["jobs"]
VARIABLES = {"AWS_REGION": "eu-central-1", "ECR_REPOSITORY": "mlapi", "AWS_ROLE": "role", "CLUSTER": "mlapi-prod"}
MACHINES = {"ubuntu-24.04": "x86_64", "ubuntu-24.04-arm": "aarch64"}


def in_order() -> Iterator[str]:
    """The jobs, each after the one that it needs."""
    done: list[str] = []
    while len(done) < len(JOBS):
        (ready,) = (name for name in JOBS if name not in done and JOBS[name].get("needs") in {None, *done[-1:]})
        done.append(ready)
        yield ready


class Runner:
    """Runs the jobs in a workshop, each in a clean checkout, with the outputs of steps filled in."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.lines: list[str] = []
        self._outputs = workshop.project.parent / "outputs"
        self._steps: dict[str, dict[str, str]] = {}

    def run(self, job: str) -> None:
        for runner in JOBS[job].get("strategy", {}).get("matrix", {}).get("runner", [JOBS[job]["runs-on"]]):
            self.workshop.add_program("uname", f"echo {MACHINES[runner]}")
            self.workshop.git("clean", "-fdqx")
            self._steps = {}
            for step in JOBS[job]["steps"]:
                if "run" in step:
                    self._run_step(step, JOBS[job].get("env", {}) | step.get("env", {}))

    def _run_step(self, step: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._outputs.write_text("", encoding="utf-8")
        filled = {name: self._fill(value) for name, value in environment.items()}
        outside = {"GITHUB_OUTPUT": str(self._outputs), "FAKE_KUSTOMIZE": find_program("kustomize")}
        done = self.workshop.run("-eo", "pipefail", "-c", step["run"], **outside, **filled)
        assert done.returncode == 0, (step["run"], done.stdout, done.stderr)
        self.lines.append(step["run"])
        written = self._outputs.read_text(encoding="utf-8").splitlines()
        self._steps[step.get("id", "")] = dict(line.split("=", 1) for line in written)

    def _fill(self, value: str) -> str:
        def found(match: re.Match[str]) -> str:
            where = match[1].split(".")
            return VARIABLES[where[1]] if where[0] == "vars" else self._steps[where[1]][where[3]]

        return re.sub(r"\$\{\{ ([\w.]+) \}\}", found, value)


@pytest.fixture
def prepared(workshop: Workshop) -> Workshop:
    """A workshop whose commit has a model, and stand-ins for what the workflow calls beside Docker and AWS."""
    bundle = workshop.project / "models" / "one"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}", encoding="utf-8")
    (workshop.project / "tools" / "install.sh").write_text("#!/usr/bin/env bash\n", encoding="utf-8")
    (workshop.project / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    workshop.git("add", "--all")
    workshop.git("commit", "--quiet", "--message", "A model")
    for name in ("make", "cosign", "mlapi"):
        workshop.add_program(name)
    return workshop


def test_a_commit_goes_from_the_tests_to_production(prepared: Workshop) -> None:
    runner = Runner(prepared)
    order = list(in_order())
    assert order == ["test", "train", "gate", "image", "release", "deploy"]
    for job in order:
        runner.run(job)
    digest, tag = "sha256:4567", prepared.commit
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mlapi"
    state = prepared.state
    assert state["repositories"]["mlapi"] == {
        f"{tag}-amd64": "sha256:0123",
        f"{tag}-arm64": "sha256:0123",
        tag: digest,
    }
    assert state["examined"] == [True, True], "each architecture's image was started"
    assert prepared.calls.read_text(encoding="utf-8").splitlines() == [
        "make test",
        "make train",
        "mlapi bundle verify models/one",
        f"cosign sign --yes {image}@{digest}",
        f"cosign attest --yes --type cyclonedx --predicate mlapi.cdx.json {image}@{digest}",
    ]
    deployed = [found for found in state["objects"].values() if f"{image}:{tag}" in str(found)]
    assert deployed, "the image of this commit runs"
    targets = {line.split()[1] for line in runner.lines if line.startswith("make ")}
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_step_is_one_command() -> None:
    lines = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    assert lines
    for line in lines:
        assert "\n" not in line, "what takes several lines is a script, which runs on a laptop, too"
        assert "${{" not in line, "what a workflow puts into a line could end the line"


def test_actions_are_pinned_by_commit_and_jobs_have_the_least_rights() -> None:
    assert WORKFLOW["permissions"] == {}
    for name, job in JOBS.items():
        assert job["permissions"]["contents"] == "read"
        assert ("id-token" in job["permissions"]) == (job.get("environment") == "prod"), name
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_actionlint_finds_nothing() -> None:
    shellcheck = ROOT / ".venv" / "bin" / "shellcheck"
    done = subprocess.run(
        [find_program("actionlint"), "-no-color", "-pyflakes=", f"-shellcheck={shellcheck}", *WORKFLOWS.glob("*.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing() -> None:
    done = subprocess.run(
        [find_delivery_tool("zizmor"), "--offline", "--persona", "pedantic", "--no-progress", WORKFLOWS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
