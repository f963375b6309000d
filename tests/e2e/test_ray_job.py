"""What the component `bulk-ray` has KubeRay do, on a Ray of this machine: `ray job submit` of its script."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlapi.settings import LAB_BUNDLE
from tests.offline_runs import lines
from tests.programs import find_bulk_engine
from tests.service_process import eventually, mlapi_environment
from tools.private_redis import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / ".k8s" / "components" / "bulk-ray"
PROCESSORS = 8


# A Ray that is started asks for a token, where it finds one; without its mode, who asks it does not send one.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of this test"}


def ray(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(find_bulk_engine("ray")).with_name("ray")), *arguments]
    return subprocess.run(command, env=os.environ | TOKEN, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with rows, one of which has no text."""
    rows = [f'{{"id":{n},"text":"a {"warm" if n % 2 else "tedious"} film {n}"}}\n' for n in range(5_000)]
    (tmp_path / "input.jsonl").write_text("".join([*rows, '{"id":-1}\n']))
    return tmp_path


@pytest.fixture
def jobs(files: Path) -> Iterator[str]:
    """The address at which a Ray of its own takes jobs; its processes see `files` and find `mlapi`."""
    programs = files / "bin"
    programs.mkdir()
    (programs / "mlapi").write_text(f'#!/bin/sh\nexec {find_bulk_engine("ray")} -m mlapi "$@"\n')
    (programs / "mlapi").chmod(0o755)
    port, dashboard, agent = (free_port() for _ in range(3))
    settings = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        **TOKEN,
        "BULK_INPUT": str(files / "input.jsonl"),
        "BULK_OUTPUT": str(files / "output.jsonl"),
    }
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-", ignore_cleanup_errors=True) as scratch:
        command = [str(Path(find_bulk_engine("ray")).with_name("ray")), "start", "--head", "--block"]
        command += [f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--num-cpus={PROCESSORS}", f"--temp-dir={scratch}"]
        environment = mlapi_environment({"MLAPI_BUNDLE": str(LAB_BUNDLE)}) | settings
        with (
            (files / "head.log").open("w") as log,
            subprocess.Popen(command, cwd=files, env=environment, stdout=log, stderr=log) as head,
        ):
            try:
                address = f"http://127.0.0.1:{dashboard}"
                eventually(lambda: not ray("job", "list", "--address", address).returncode, "jobs", timeout_s=300)
                yield address
            finally:
                head.terminate()
                head.wait(60)


def test_the_script_of_the_component_is_a_job(files: Path, jobs: str) -> None:
    script = files / "bulk.sh"
    script.write_text(yaml.safe_load((COMPONENT / "config-map-bulk-ray.yaml").read_text())["data"]["bulk.sh"])
    done = ray("job", "submit", "--address", jobs, "--", "sh", str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"refused"' in done.stdout + done.stderr
    expected = files / "expected.jsonl"
    alone = subprocess.run(
        [sys.executable, "-m", "mlapi", "bulk", files / "input.jsonl", expected, "--progress", "none"],
        cwd=ROOT,
        env=mlapi_environment({"MLAPI_BUNDLE": str(LAB_BUNDLE)}),
        check=False,
    )
    assert alone.returncode == 3
    assert (files / "output.jsonl").read_bytes() == expected.read_bytes()
    assert lines(files / "output.jsonl.errors.jsonl") == lines(files / "expected.jsonl.errors.jsonl")
