"""The Ansible role: ansible-lint likes it, and it calls the project's own script as it should."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT
from tests.programs import find_delivery_tool

ANSIBLE = ROOT / "infra" / "ansible"

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def run(program: str, *arguments: str, path: str = "", home: Path) -> "subprocess.CompletedProcess[str]":
    found = find_delivery_tool(program)
    environment = {"PATH": f"{path}:{found.parent}:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [found, *arguments],
        cwd=ANSIBLE,
        env=environment | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    done = run("ansible-lint", "--offline", "--profile", "production", "deploy.yaml", "roles", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("ansible-playbook", "--syntax-check", "deploy.yaml", home=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("check", [False, True], ids=["for real", "in check mode"])
def test_the_script_is_called(check: bool, tmp_path: Path) -> None:  # noqa: FBT001  pytest's parameter
    calls = tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    for program in (tmp_path / "deploy.sh", tmp_path / "bin" / "aws"):
        program.write_text(f'#!/bin/sh\necho "$(basename $0) $*" >>{calls}\n', encoding="utf-8")
        program.chmod(0o755)
    values = {
        "eks_deploy_cluster": "mlapi-prod",
        "eks_deploy_region": "eu-central-1",
        "eks_deploy_image": "registry.example/mlapi:1",
        "eks_deploy_project": str(tmp_path),
    }
    options = ["--check"] if check else []
    done = run(
        *("ansible-playbook", "deploy.yaml", "-e", json.dumps(values), *options),
        path=str(tmp_path / "bin"),
        home=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = calls.read_text(encoding="utf-8").splitlines()
    deploy = "deploy.sh prod --context production --timeout 300 --image registry.example/mlapi:1"
    kubeconfig = "aws eks update-kubeconfig --name mlapi-prod --region eu-central-1 --alias production"
    assert said == ([f"{deploy} --dry-run"] if check else [kubeconfig, deploy])


def test_a_cluster_without_a_region_is_refused(tmp_path: Path) -> None:
    done = run("ansible-playbook", "deploy.yaml", "-e", "eks_deploy_cluster=mlapi-prod", home=tmp_path)
    assert (done.returncode, "a cluster comes with its region" in done.stdout) == (2, True)
