"""What `tools/go_tools.sh` puts into `.tools`, for the tests that need it."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tools import programs


def find_program(name: str) -> str:
    """Return a program's path: ours, else the PATH's; where there is none, skip on a laptop and fail in CI."""
    return str(programs.find_program(name) or _miss(name))


def find_schemas() -> Path:
    """Return the folder that `tools.kubernetes_schemas` wrote; where there is none, skip on a laptop and fail in CI."""
    folder = programs.BUILT.parent / "schemas"
    return folder if (folder / "stamp").exists() else _miss("schemas")


def _miss(name: str) -> NoReturn:
    message = f"missing: run tools/go_tools.sh {name}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
