"""Nothing that is committed, code or not, leaves work for later or names the machine that it was written on."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

# The brackets keep these patterns from finding themselves.
POSTPONED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b")
PLACE = re.compile(r"(?<![\w.$~}/-])/(roo[t]|hom[e])/\w|/tm[p]/\w+/|[-]-(extra-)?index-ur[l]\b")


def texts() -> Iterator[tuple[Path, str]]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        path = Path(name)
        # Model files are data; their vocabularies hold every word there is.
        if name and path.parts[0] != "models" and (ROOT / path).is_file():
            yield path, (ROOT / path).read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("pattern", [POSTPONED, PLACE], ids=["work for later", "a place on one machine"])
def test_no_text_holds(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (POSTPONED, "# TO" + "DO: later"),
        (PLACE, "python = /roo" + "t/venv/bin/python"),
        (PLACE, "open('/tm" + "p/mine/scores')"),
        (PLACE, "-" + "-index-url https://packages.example/simple"),
    ],
)
def test_a_pattern_finds(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


def test_the_patterns_see_the_files() -> None:
    assert {Path("Makefile"), Path("pyproject.toml"), Path("mlapi/predictor.py")} <= {path for path, _ in texts()}
