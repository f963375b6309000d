"""The documentation shows the committed results, and nothing that was not measured."""

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


def test_the_rows_are_those_of_the_results() -> None:
    assert publish.ROWS.read_text(encoding="utf-8") == publish.rows_page(publish.RESULTS), (
        "run python -m benchmarks.publish"
    )


def test_every_record_is_published() -> None:
    kept = {path.name for path in publish.RESULTS.glob("*.json")}
    assert kept == {*publish.RECORDS, "gpu.json"}


def test_what_was_not_measured_is_said_to_be() -> None:
    known = publish.parts(Path("nowhere"))
    assert known["targets"].startswith("Not measured yet")
    assert known["gpu"].startswith("Not measured: no GPU")
    assert publish.rows_page(Path("nowhere")).count("Not measured yet") == len(publish.RECORDS)


@pytest.mark.parametrize("name", ["int8-processor", "summary 2", "Summary"])
def test_a_place_for_what_there_is_not_is_noticed(name: str) -> None:
    with pytest.raises(KeyError):
        publish.fill(f"<!-- results: {name} -->\nold\n<!-- end -->\n", {"summary": "new\n"})


def test_a_place_without_an_end_is_noticed() -> None:
    with pytest.raises(ValueError, match="does not end"):
        publish.fill("<!-- results: summary -->\nold\n", {"summary": "new\n"})


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
    known = publish.parts(tmp_path)
    assert publish.rows_page(tmp_path).count("| mlapi, int8 | 12 345 |") == 2
    document = "before\n<!-- results: summary -->\nold\n<!-- end -->\nafter\n"
    filled = publish.fill(document, known)
    assert "| mlapi, int8 | 12 345 | - |" in filled
    assert "old" not in filled
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")
    assert publish.fill(filled, known) == filled
