"""The Makefile stays small enough to read, and explains itself."""

import re
import subprocess

from tests.architecture.source_rules import ROOT

TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([\w-]+):(?!=)", TEXT, re.MULTILINE)


def make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_there_are_at_most_fifteen_targets() -> None:
    assert {"run", "test", "check", "format", "help"} <= set(TARGETS)
    assert len(TARGETS) <= 15


def test_no_target_is_mistaken_for_a_file() -> None:
    phony = re.findall(r"^\.PHONY: (.+)$", TEXT, re.MULTILINE)
    assert " ".join(phony).split() == TARGETS


def test_help_is_the_default_and_explains_every_target() -> None:
    explained = re.findall(r"^  make ([\w-]+) +\S.+\.$", make(), re.MULTILINE)
    assert explained == TARGETS


def test_continuous_integration_skips_nothing_that_is_missing() -> None:
    scripts = sorted((ROOT / ".ci").iterdir())
    assert [script.name for script in scripts] == ["cluster", "run"]
    for script in scripts:
        assert "\nexport CI=true\n" in script.read_text(encoding="utf-8"), script


def test_running_the_service_never_installs_pytorch() -> None:
    commands = make("--dry-run", "run")
    assert "tools/install.sh run\n" in commands
    assert "full" not in commands
