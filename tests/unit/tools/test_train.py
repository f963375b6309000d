"""`tools/train.sh` and `tools/training_tools.sh` say what they need before they install or train anything."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT


def run(*command: str, shared: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SHARED_DIR": shared}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("shared", ["", "/nowhere"])
def test_whole_data_sets_are_asked_for_before_anything_is_installed(shared: str) -> None:
    done = run("tools/train.sh", "full", shared=shared)
    assert (done.returncode, done.stdout) == (1, "")
    assert "PROFILE=full needs the data sets: set SHARED_DIR" in done.stderr


def test_an_unknown_profile_is_refused() -> None:
    done = run("tools/train.sh", "huge")
    assert (done.returncode, done.stderr) == (1, "mlapi: PROFILE is small or full, not huge\n")


@pytest.mark.parametrize("arguments", [["small", "lab"], ["full", "lab-three"]])
def test_make_hands_on_profile_and_models(arguments: list[str]) -> None:
    profile, model = arguments
    done = run("make", "--no-print-directory", "--dry-run", "train", f"PROFILE={profile}", f"MODELS={model}")
    assert done.stdout == f"tools/train.sh {profile} {model}\n"


def test_every_list_of_tools_pins_each_package_with_hashes() -> None:
    for name in ("dvc", "tracking", "mlflow"):
        text = Path(ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) > 20
        assert all("==" in line and "--hash=sha256:" in line for line in lines), name
        wanted = (ROOT / f"requirements/{name}.in").read_text(encoding="utf-8")
        for line in wanted.splitlines():
            assert line.startswith("#") or line.partition("[")[0].partition("=")[0] in text, line
