"""Runs k6 as its users do: `load.js` in a process of its own, in a folder that its report may be written to."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tests.architecture.source_rules import ROOT
from tests.programs import find_program

SCRIPT: Final = ROOT / "load.js"
PROBE: Final = ROOT / "tests/loadtest/probe.js"
GOALS_MISSED: Final = 99
SCRIPT_FAILED: Final = 107

_NAMES: Final = (
    "SCENARIO", "NAMESPACE", "DOMAIN", "MODEL", "BASE_URL", "CACHE_RATE", "SEED", "RATE", "DURATION", "P99_MS",
    "API_KEY",
)  # fmt: skip


@dataclass(frozen=True, slots=False)
class Outcome:
    """How one run of k6 ended, and the report that it left in `folder`."""

    exit_code: int
    output: str
    errors: str
    folder: Path

    @cached_property
    def report(self) -> dict[str, Any]:
        """The report for machines."""
        read: dict[str, Any] = json.loads((self.folder / "load-report.json").read_text(encoding="utf-8"))
        return read

    @property
    def missed(self) -> set[str]:
        """What did not hold."""
        return {goal["says"] for goal in self.report["goals"] if not goal["held"]}

    def goal(self, says: str) -> dict[str, Any]:
        """One goal and what was measured for it."""
        found: dict[str, Any] = next(goal for goal in self.report["goals"] if goal["says"] == says)
        return found


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with these settings of the load test only, and k6's usage report off."""
    inherited = {name: value for name, value in os.environ.items() if name not in {*_NAMES, "REPORT"}}
    return inherited | {"K6_NO_USAGE_REPORT": "true", "NO_COLOR": "true"} | dict(settings or {})


def k6_command(*arguments: str, **settings: str) -> list[str]:
    """Return a k6 command line; each setting becomes an `-e NAME=value`."""
    named = [f"-e{name.upper()}={value}" for name, value in settings.items()]
    return [find_program("k6"), arguments[0], *named, *arguments[1:]]


def run_load(folder: Path, *arguments: str, **settings: str) -> Outcome:
    """Run `load.js` to its end."""
    command = k6_command("run", "--quiet", *arguments, str(SCRIPT), **settings)
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr, folder)


def probe(**settings: str) -> Any:  # noqa: ANN401  JSON
    """Return the settings, the hot set, and the first COUNT requests that these settings give."""
    command = k6_command("run", "--quiet", str(PROBE), **settings)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def inspect(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Ask k6 what it would run, without running it."""
    command = k6_command("inspect", *arguments, str(SCRIPT), **settings)
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
