"""The programs of `.tools/bin`, which `make tools` builds, or those on the PATH."""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


def find_tool(name: str) -> str:
    """Return the path of a program; where there is none, skip on a laptop and fail in CI."""
    built = ROOT / ".tools" / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        msg = f"{name} is missing: make tools"
        if os.environ.get("CI"):
            pytest.fail(msg)
        pytest.skip(msg)
    return found
