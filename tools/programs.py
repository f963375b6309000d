"""Finds the programs that are not Python: those that `make tools` built first, then those on the PATH."""

import shutil
from pathlib import Path
from typing import Final

BUILT: Final = Path(__file__).resolve().parent.parent / ".tools" / "bin"

_OTHER_NAMES: Final = {"alertmanager": ("prometheus-alertmanager",)}
"""What Debian calls a program, where that is not its own name."""


def find_program(name: str) -> Path | None:
    """Return the program of this name, None where this machine has none."""
    built = shutil.which(name, path=str(BUILT))
    if built:
        return Path(built)
    for candidate in (name, *_OTHER_NAMES.get(name, ())):
        found = shutil.which(candidate)
        if found:
            return Path(found)
    return None
