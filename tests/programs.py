"""The programs that `tools/go_tools.sh` puts into `.tools/bin`."""

import os
import shutil
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT

_BUILT: Final = ROOT / ".tools" / "bin"


def find_program(name: str) -> str:
    """Return a program's path: ours, else the PATH's; where there is none, skip on a laptop and fail in CI."""
    found = shutil.which(name, path=f"{_BUILT}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is missing: run tools/go_tools.sh {name}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
