"""The documentation shows the committed results, and nothing that was not measured."""

import re
from pathlib import Path

import pytest

from benchmarks import publish
from benchmarks.catalogue import ROOT
from benchmarks.results import Observation, Record, write


@pytest.mark.parametrize("name", publish.DOCUMENTS)
def test_the_figures_are_those_of_the_results(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == publish.fill(text, publish.parts(publish.RESULTS)), "run python -m benchmarks.publish"
    assert "<!-- results:" in text


@pytest.mark.parametrize("name", publish.DOCUMENTS)
def test_every_place_holds_its_figures(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    known = publish.parts(publish.RESULTS)
    places = re.findall(r"<!-- results:(.*?)-->(.*?)<!--", text, re.DOTALL)
    assert len(places) == text.count("<!-- results")
    for place, figures in places:
        assert figures.strip() == known[place.strip()].strip(), place


@pytest.mark.parametrize(
    "place",
    ["<!-- results: unheard-of -->\n<!-- end -->", "<!--results: rows-->\n<!-- end -->", "<!-- results: rows -->\n"],
)
def test_a_place_that_is_not_filled_is_an_error(place: str) -> None:
    with pytest.raises(ValueError, match="results"):
        publish.fill(place, publish.parts(Path("nowhere")))


def test_what_was_not_measured_is_said_to_be() -> None:
    known = publish.parts(Path("nowhere"))
    assert known["targets"].startswith("Not measured yet")
    assert known["other-servers"].startswith("Not measured yet")
    assert known["int8-processor"].startswith("Not measured yet")
    assert known["gpu"].startswith("Not measured: no GPU")


def test_results_replace_whatever_stands_in_their_place(tmp_path: Path) -> None:
    record = Record(
        profile="full",
        started="2026-11-26",
        machine={
            "processor": "P",
            "used": 2,
            "processors": 2,
            "memory_gib": 8,
            "flags": ["avx2"],
            "system": "Linux",
            "python": "3.11",
            "versions": {"openvino": "1"},
        },
        peers={"mlapi": "mlapi, int8"},
        observations=[Observation("mlapi", "hit", 1, {"requests_per_s": 12_345.0})],
    )
    write(record, tmp_path / "comparison.json")
    write(record, tmp_path / "other-servers.json")
    write(record, tmp_path / "int8-processor.json")
    known = publish.parts(tmp_path)
    assert "| mlapi, int8 |" in known["other-servers"]
    assert "| mlapi, int8 |" in known["int8-processor"]
    document = "before\n<!-- results: summary -->\nold\n<!-- end -->\nafter\n"
    filled = publish.fill(document, known)
    assert "| mlapi, int8 | 12 345 | - |" in filled
    assert "old" not in filled
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")
    assert publish.fill(filled, known) == filled
