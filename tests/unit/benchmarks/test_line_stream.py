"""The stream of a million lines, made short, keeps its promises, and would notice what it looks for."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.line_stream import Findings, main, report


def test_a_short_one_keeps_its_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lines", "3000", "--pause", "0"]) == 0
    assert "not those of their lines: 0" in capsys.readouterr().out


GOOD = Findings(9, 1.0, out_of_place=0, broken=1, told=1, answers=90, sent_in_pause=0, memory={"0 %": 10**8})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"lines": 0}, "nothing was measured"),
        ({"out_of_place": 1}, "not that of its line"),
        ({"answers": 3}, "too few"),
        ({"broken": 0, "told": 0}, "told so in its place"),
        ({"told": 0}, "told so in its place"),
        ({"sent_in_pause": 1}, "went on reading"),
        ({"memory": {"0 %": 10**8, "after": 2 * 10**8}}, "grew"),
    ],
)
def test_what_it_looks_for_fails_it(change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(replace(GOOD, **change)) == (1 if words else 0)
    assert words in capsys.readouterr().out
