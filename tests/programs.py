"""What the scripts in `tools` put into `.tools`, for the tests that need it."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tools import programs


def find_program(name: str, script: str = "tools/go_tools.sh") -> str:
    """Return a program's path: ours, else the PATH's; where there is none, skip on a laptop and fail in CI.

    Args:
        name: of the program.
        script: what provides it.
    """
    return str(programs.find_program(name) or miss(f"{script} {name}"))


def find_schemas() -> Path:
    """Return the folder that `tools.kubernetes_schemas` wrote; where there is none, skip on a laptop and fail in CI."""
    folder = programs.BUILT.parent / "schemas"
    return folder if (folder / "stamp").exists() else miss("tools/go_tools.sh schemas")


def find_environment(name: str) -> Path:
    """Return the folder of the programs that `tools/training_tools.sh` installed for a tool; else the same as above."""
    folder = programs.BUILT.parent / name
    return folder / "bin" if (folder / "installed").exists() else miss(f"tools/training_tools.sh {name}")


def find_bulk_engine(name: str) -> str:
    """Return the Python that `tools/bulk_engines.sh` installed Ray or Spark for; else the same as above."""
    folder = programs.BUILT.parent / name
    return str(folder / "bin" / "python") if (folder / "installed").exists() else miss(f"tools/bulk_engines.sh {name}")


def find_delivery_tool(name: str) -> Path:
    """Return a program that `tools/delivery_tools.sh` installed; else the same as above."""
    path = programs.BUILT.parent / "delivery" / "bin" / name
    return path if path.exists() else miss("tools/delivery_tools.sh all")


def miss(command: str) -> NoReturn:
    message = f"missing: run {command}"
    if os.environ.get("CI"):
        pytest.fail(message)
    # Also where a module asks while it is imported.
    pytest.skip(message, allow_module_level=True)
