"""Runs what `docs/deploying.md` shows, against stand-ins for cluster and cloud; the rest says what it needs."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT
from tests.scripts.workshop import Workshop

pytestmark = pytest.mark.timeout(600)  # dozens of small processes, which a busy machine starts slowly

TEXT: Final = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
NEEDS: Final = {"minikube", "a cluster", "an AWS account", "an image", "a signed image", "PyTorch and a checkpoint"}


def commands(block: str) -> list[str]:
    return re.findall(r"^\$ (.+)$", block, re.MULTILINE)


RUN: Final = [command for block in BLOCKS if not block.startswith("#") for command in commands(block)]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A project with the model that the page speaks of, on a machine with a kind cluster."""
    made = Workshop(tmp_path)
    made.add_program("kind")
    (made.project / "scripts").mkdir()
    made.add_program("to-nodes")
    (made.bin / "to-nodes").rename(made.project / "scripts" / "to-nodes")
    (made.project / "models" / "mine").mkdir(parents=True)
    (made.project / "models" / "mine" / "bundle.json").write_text("{}", encoding="utf-8")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Mine")
    return made


@pytest.mark.parametrize("command", RUN)
def test_a_command_works(workshop: Workshop, command: str) -> None:
    words = shlex.split(command)
    environment = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    done = workshop.run(words[0].removeprefix("./"), *words[1:], AWS_REGION="eu-central-1", **environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.startswith("#")])
def test_what_is_not_run_says_what_it_needs(block: str) -> None:
    needs = re.match(r"# needs (.+)\n", block)
    assert needs
    assert needs[1] in NEEDS


def test_commands_are_run() -> None:
    scripts = {next(word for word in shlex.split(command) if "=" not in word) for command in RUN}
    assert scripts == {"./build-push.sh", "./deploy.sh", "tools/image.sh"}


def test_the_worked_example_is_calculated_right() -> None:
    """Every `… = number` of the page, with × ÷ − as Python writes them."""
    sums = re.findall(r"\| ([\d ×÷−().]+) = ([\d.]+) \|", TEXT)
    assert len(sums) == 4
    for left, right in sums:
        terms = left.translate(str.maketrans("×÷−", "*/-"))
        # S307: digits and operators, as the pattern above says.
        assert round(eval(terms), 2) == float(right), left  # noqa: S307


def test_the_memory_is_calculated_right() -> None:
    rows = re.findall(r"^\| ([\d ]+) \| ([\d ]+) MB \|$", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for texts, megabytes in rows:
        assert int(texts.replace(" ", "")) * 230 / 1e6 == int(megabytes.replace(" ", ""))
