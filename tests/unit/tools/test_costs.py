"""The cost of a month: what drives it, what is refused, and that the page shows what the command prints."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT
from tools.costs import INPUTS, CostError, Work, month, read_inputs, read_work

WORK = Work(miss_s=0.01, hit_s=0.00001, machine="made up")


def test_figures_come_from_the_benchmark() -> None:
    work = read_work()
    assert 0.001 < work.miss_s < 0.1
    assert work.hit_s < work.miss_s / 100


def test_only_misses_cost_nodes() -> None:
    inputs = read_inputs()
    traffic = {"name": "x", "texts_per_s": 10_000, "distinct_texts_a_day": 1_000, "replicas": 0}
    known = month(traffic | {"hit_ratio": 1.0}, inputs, WORK)
    half = month(traffic | {"hit_ratio": 0.5}, inputs, WORK)
    assert known.nodes == 2
    assert half.nodes == 48  # 50.05 processors busy, of 2 x 0.75 x 0.7 in a node
    assert half.items["nodes"] > 7 * known.items["nodes"]


def test_a_cache_that_fits_nowhere_is_refused() -> None:
    traffic = {"name": "x", "texts_per_s": 1, "hit_ratio": 0.5, "distinct_texts_a_day": 10**12, "replicas": 0}
    with pytest.raises(CostError, match="holds 214"):
        month(traffic, read_inputs(), WORK)


@pytest.mark.parametrize("wrong", ["hit_ratio = 1.5", "hit_ratio = nan"])
def test_a_ratio_that_is_none_is_refused(wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "costs.toml"
    file.write_text(INPUTS.read_text(encoding="utf-8").replace("hit_ratio = 0.80", wrong), encoding="utf-8")
    with pytest.raises(CostError, match="no hit ratio"):
        read_inputs(file)


def test_the_page_shows_what_the_command_prints() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.costs"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout in (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    assert "not checked" in done.stdout
