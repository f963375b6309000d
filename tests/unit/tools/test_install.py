"""`tools/install.sh` up to the installation itself: which Python it takes, and what it says where there is none."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT

SCRIPT: Final = ROOT / "tools" / "install.sh"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder to be the PATH, with what the script needs besides a Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "rm", "sha256sum"):
        found = next(Path(part) / name for part in os.defpath.split(":") if part and (Path(part) / name).exists())
        (folder / name).symlink_to(found)
    return folder


def python(folder: Path, name: str, script: str) -> Path:
    """Put a stand-in for Python into a folder."""
    path = folder / name
    path.write_text(f"#!{folder}/bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def install(programs: Path, wanted: str = "run", **environment: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(programs), "VENV": str(programs.parent / "venv"), **environment}
    return subprocess.run(
        [str(programs / "bash"), str(SCRIPT), wanted], env=environment, capture_output=True, text=True, check=False
    )


def test_no_python_at_all(programs: Path) -> None:
    done = install(programs)
    assert done.returncode == 1
    assert "no Python from 3.11 to 3.13 found as python3.11 or python3" in done.stderr


def test_a_python_that_is_too_old(programs: Path) -> None:
    python(programs, "python3", "exit 1")
    done = install(programs)
    assert done.returncode == 1
    assert "no Python from 3.11 to 3.13 found" in done.stderr


def test_the_python_that_was_asked_for_does_not_work(programs: Path) -> None:
    python(programs, "python3", "exit 0")
    done = install(programs, PYTHON="/no/such/python")
    assert done.returncode == 1
    assert done.stderr == "mlapi: PYTHON=/no/such/python is not a working Python from 3.11 to 3.13\n"


def test_a_python_without_virtual_environments(programs: Path) -> None:
    python(programs, "python3", "[[ $2 != *ensurepip* ]]")
    done = install(programs)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_a_set_that_does_not_exist(programs: Path) -> None:
    done = install(programs, wanted="everything")
    assert done.returncode == 1
    assert "no such set: everything" in done.stderr


def test_an_installation_that_was_interrupted_is_done_again(programs: Path) -> None:
    """The stand-in installs nothing, and fails when it comes to mlapi itself."""
    record = programs.parent / "commands"
    stand_in = f'echo "$@" >>{record}; [[ "$*" != *editable* ]]'
    (programs.parent / "venv" / "bin").mkdir(parents=True)
    python(programs, "venv-python", stand_in).rename(programs.parent / "venv" / "bin" / "python")
    assert install(programs).returncode == 1
    assert install(programs).returncode == 1
    assert record.read_text(encoding="utf-8").count("--require-hashes") == 2


def test_what_is_installed_is_left_alone(programs: Path) -> None:
    record = programs.parent / "commands"
    (programs.parent / "venv" / "bin").mkdir(parents=True)
    python(programs, "venv-python", f'echo "$@" >>{record}').rename(programs.parent / "venv" / "bin" / "python")
    assert install(programs, wanted="quick").returncode == 0
    installed = record.read_text(encoding="utf-8")
    assert "requirements/quick.txt" in installed
    assert install(programs, wanted="quick").returncode == 0
    assert install(programs, wanted="run").returncode == 0
    assert record.read_text(encoding="utf-8") == installed
    assert install(programs, wanted="full").returncode == 0
    assert "requirements/full.txt" in record.read_text(encoding="utf-8")
