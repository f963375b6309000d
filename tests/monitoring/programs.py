"""The programs that these tests run."""

import os
from pathlib import Path

import pytest

from tools.programs import find_program


def required(name: str) -> Path:
    """Return a program's path; where there is none, skip the test on a laptop and fail in CI."""
    program = find_program(name)
    if program is None:
        message = (
            f"no {name}: `make tools` builds it, and Debian's packages prometheus and prometheus-alertmanager have it"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return program
