"""Where Go keeps a module: what is published there, besides the source, is used by the tests."""

import json
import subprocess
from pathlib import Path
from typing import Final

from tests.architecture.source_rules import ROOT
from tests.programs import find_program

_FETCH_S: Final = 120.0


def download(module: str, folder: str = "/") -> dict[str, str]:
    """Return what Go says of a module, from its cache or fetched: `Dir`, `Sum` and more.

    Args:
        module: its path; with `@version`, unless `folder` holds a go.mod that pins it.
        folder: where to ask, from the repository's root.
    """
    command = [_go(), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=ROOT / folder, capture_output=True, text=True, timeout=_FETCH_S, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def module_folder(module: str, folder: str) -> Path:
    """Return the folder of a module in the version that the go.mod in `folder` pins."""
    return Path(download(module, folder)["Dir"])


def _go() -> str:
    ours = ROOT / ".tools" / "go" / "go" / "bin" / "go"
    return str(ours) if ours.exists() else find_program("go")
