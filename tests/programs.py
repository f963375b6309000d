"""The programs that `tools/go_tools.sh` puts into `.tools/bin`."""

import os

import pytest

from tools import programs


def find_program(name: str) -> str:
    """Return a program's path: ours, else the PATH's; where there is none, skip on a laptop and fail in CI."""
    found = programs.find_program(name)
    if found is None:
        message = f"{name} is missing: run tools/go_tools.sh {name}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(found)
