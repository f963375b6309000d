"""What docs/load-testing.md says about scenarios, settings and commands is so."""

import json
import re
import shlex
from itertools import pairwise
from typing import Any

import pytest

from tests.architecture.source_rules import ROOT
from tests.loadtest.k6 import inspect

TEXT = (ROOT / "docs/load-testing.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "loadtest/settings.js").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?:^\$ |`)([^`$\n]*k6 run .*?load\.js)", TEXT, re.MULTILINE)


def options(*arguments: str) -> dict[str, Any]:
    done = inspect(*arguments)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_k6_takes(command: str) -> None:
    words = shlex.split(command)
    assert words[-1] == "load.js"
    # What a shell would have put in: an address, or a part of a host's name.
    given = [re.sub(r"\$\(.+\)", "http://host", value) for flag, value in pairwise(words) if flag == "-e"]
    options(*(f"-e{re.sub(r'[$][A-Z]+', 'example', value)}" for value in given))


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) == 7


@pytest.mark.parametrize(
    ("scenario", "rate", "hold"), re.findall(r"^\| `(\w+)`.*? \| (\d+) \| (\w+) \|", TEXT, re.MULTILINE)
)
def test_every_scenario_is_as_listed(scenario: str, rate: str, hold: str) -> None:
    scenarios = options("-e", f"SCENARIO={scenario}")["scenarios"]
    main = scenarios.get("misses") or scenarios[scenario]
    stages = main.get("stages") or [{"duration": main["duration"], "target": main["rate"]}]
    longest = max(stages, key=lambda stage: (stage["target"], seconds(stage["duration"])))
    assert longest["target"] / 10 == float(rate)
    assert seconds(longest["duration"]) == seconds(hold)


def test_every_scenario_and_every_setting_is_listed() -> None:
    listed = set(re.findall(r"^\| `(\w+)`.*? \| \d+ \| \w+ \|", TEXT, re.MULTILINE))
    refused = inspect(scenario="none").stderr
    assert listed == set(re.findall(r"must be one of ([\w, ]+)", refused)[0].split(", "))
    names = re.findall(r"env\.([A-Z0-9_]+)|number\(env, '([A-Z0-9_]+)'", SETTINGS)
    rows = re.findall(r"^\| (`[A-Z0-9_]+`(?:, `[A-Z0-9_]+`)*) \|", TEXT, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} - {"SCENARIO"} == {
        one or other for one, other in names
    } - {"SCENARIO"}


def seconds(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + rest
