"""`docs/training.md` shows the committed figures, and its commands are the ones there are."""

import re

import pytest

from tests.architecture.source_rules import ROOT
from training import publish
from training.params import DEFAULT, read_params
from training.pipeline import STAGES
from training.stages import RESULTS

TEXT = publish.PAGE.read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_results() -> None:
    assert publish.fill(TEXT, RESULTS) == TEXT, "run python -m training.publish"


def test_every_stage_and_every_model_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert [name for name in described if name in STAGES] == [*STAGES]
    assert all(f"`{name}`" in TEXT for name in read_params([DEFAULT]).models)


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (training\.\w+)", TEXT))))
def test_a_named_command_exists(module: str) -> None:
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert 'if __name__ == "__main__":' in source
