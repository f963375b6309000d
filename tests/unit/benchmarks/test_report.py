from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click import ClickException
from msgspec.structs import replace

from benchmarks import chart, checks, report, results, run
from benchmarks.catalogue import FOLDER, PEERS
from benchmarks.dialects import INFERENCE_PROTOCOL, INFINITY, LISTED, PLAIN, Dialect
from benchmarks.model import arithmetic
from benchmarks.results import MACHINE, Failure, Observation, Record, Table

LABELS = ("NEGATIVE", "POSITIVE")


def observe(peer: str, row: str, *values: float, measure: str) -> list[Observation]:
    return [Observation(peer, row, number, {measure: value}) for number, value in enumerate(values, 1)]


@pytest.fixture
def table() -> Table:
    record = Record(
        profile="short",
        started="2026-11-21",
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
        peers={"naive": "naive", "mlapi": "mlapi, int8", "mosec": "mosec"},
    )
    record.observations = [
        *observe("mlapi", "mixed", 210.0, 190.0, 200.0, measure="texts_per_s"),
        *observe("naive", "mixed", 20.0, 20.0, measure="texts_per_s"),
        *observe("naive", "mixed-32", 8.0, measure="texts_per_s"),
        *observe("mlapi", "hit", 30_000.0, measure="requests_per_s"),
        *observe("hello", "hello", 40_000.0, measure="requests_per_s"),
        *observe("mlapi", "miss-16", 3.0, measure="p50_ms"),
        *observe("naive", "miss-16", 27.0, measure="p50_ms"),
        *observe("mlapi", "mixed", 520.0, measure="needed_gflops"),
        *observe(MACHINE, "peak", 400.0, 800.0, 790.0, measure="int8"),
    ]
    record.failures = [Failure("mosec", "", "cannot be installed: no wheel")]
    record.limits = {"redis_get_per_s": "redis-benchmark is not installed"}
    return Table(record)


def test_a_summary_is_the_median_and_the_range(table: Table) -> None:
    assert table.get("mlapi", "mixed", "texts_per_s") == results.Summary(200.0, 190.0, 210.0, 3)
    assert table.get("mlapi", "mixed", "p50_ms") is None


def test_targets_are_met_or_missed_by_ratios_of_one_run(table: Table) -> None:
    text = report.render(table)
    assert "the better of two ways to ask | 20 texts/s | 200 texts/s | 10 x | ≥ 7 x naive | met |" in text
    assert "one text of 16 tokens | 27 ms | 3 ms | 9 x | ≥ 7 x naive | met |" in text
    assert "of bare uvicorn's rate | - | 75 % | 75 % | ≥ 80 % | **missed** |" in text
    assert "one text of 128 tokens | - | - | not measured | ≥ 4.5 x naive | |" in text
    assert "useful arithmetic of the peak of matrix products: mixed lengths | - | 65 % | 65 % | ≥ 60 % | met |" in text


def test_the_peak_is_the_best_that_was_seen_during_the_run(table: Table) -> None:
    assert "- matrix products, int8: best of 3 800 (from 400) GFLOP/s" in report.render(table)


def test_a_peer_that_cannot_run_is_in_the_table_with_the_reason(table: Table) -> None:
    text = report.render(table)
    assert "| mosec | failed |" in text
    assert "- mosec: cannot be installed: no wheel" in text


def test_requests_that_failed_are_said(table: Table) -> None:
    table.record.observations += [
        *observe("mlapi", "hit", 0.0, 3.0, measure="failed"),
        *observe("naive", "mixed", 0.0, measure="failed"),
    ]
    doubts = report.render(Table(table.record)).partition("## Doubts")[2]
    assert "- mlapi, hit: up to 3 requests failed in a round: the figures are of the others" in doubts
    assert "naive, mixed" not in doubts


def test_a_row_in_which_requests_failed_meets_no_target(table: Table) -> None:
    for peer in ("mlapi", "naive"):
        tainted = Table(replace(table.record, observations=[*table.record.observations]))
        tainted.record.observations += observe(peer, "miss-16", 0.0, 1.0, measure="failed")
        text = report.render(Table(tainted.record))
        assert "one text of 16 tokens |" in text
        assert "| not measured | ≥ 7 x naive | |" in text.partition("one text of 16 tokens |")[2].partition("\n")[0]


def test_a_run_in_which_something_gave_nothing_does_not_end_well(table: Table) -> None:
    with pytest.raises(ClickException, match=r"^not measured: mosec$"):
        run.check_whole(table.record)
    table.record.failures = [Failure("naive", "hit", "it hangs")]
    with pytest.raises(ClickException, match=r"^not measured: naive, hit; mosec$"):
        run.check_whole(table.record)
    whole = replace(table.record, failures=[], peers={"naive": "naive", "mlapi": "mlapi, int8"})
    run.check_whole(whole)
    whole.observations += observe("mlapi", "hit", 0.0, 3.0, measure="failed")
    with pytest.raises(ClickException, match=r"^with requests that failed: mlapi, hit$"):
        run.check_whole(whole)


def test_noise_is_said(table: Table) -> None:
    noisy = Observation("mlapi", "mixed", 4, {"texts_per_s": 100.0, "foreign": 0.5})
    table.record.observations.append(noisy)
    assert "- mlapi, mixed, round 4: others used 50% of the processors" in report.render(Table(table.record))


def test_a_server_that_leaves_its_processors_is_named_with_its_worst_row(table: Table) -> None:
    table.record.observations += [
        *observe("naive", "mixed", 2.01, measure="server_processors"),
        *observe("mosec", "mixed", 12.0, 14.0, measure="server_processors"),
        *observe("mosec", "miss-16", 15.1, measure="server_processors"),
        *observe("mosec", "hit", 1.76, measure="server_processors"),
    ]
    doubts = report.render(Table(table.record)).partition("## Doubts")[2]
    assert "- mosec, miss-16: the server used 15.10 processors, though it was bound to 2" in doubts
    assert "- mosec, hit: the server used 1.76 processors, though it was bound to 1" in doubts
    assert doubts.count("though it was bound to") == 2


def test_a_record_survives_the_disk(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "some" / "results.json"
    results.write(table.record, path)
    assert results.read(path) == table.record


def test_the_chart_has_a_bar_for_each_figure_and_is_well_formed(table: Table) -> None:
    root = ET.fromstring(chart.render(table))  # noqa: S314  our own document
    bars = [node for node in root.iter() if node.get("class") in {"o", "p"}]
    assert len(bars) == 6


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (PLAIN, b'{"predictions":[[{"label":"A","score":0.7},{"label":"B","score":0.3}]]}'),
        (LISTED, b'[[{"label":"A","score":0.7},{"label":"B","score":0.3}]]'),
        (INFINITY, b'{"data":[[{"label":"A","score":0.7},{"label":"B","score":0.3}]]}'),
    ],
)
def test_answers_are_read(dialect: Dialect, body: bytes) -> None:
    assert dialect.read(body) == [{"A": 0.7, "B": 0.3}]
    assert b'"a text"' in dialect.write(["a text"])


def test_the_inference_protocol_gives_the_best_label_alone() -> None:
    body = b'{"outputs":[{"data":["{\\"label\\":\\"A\\",\\"score\\":0.7}","{\\"label\\":\\"B\\",\\"score\\":0.6}"]}]}'
    assert INFERENCE_PROTOCOL.read(body) == [{"A": 0.7}, {"B": 0.6}]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "0 answers to 1 texts"),
        ([{"NEGATIVE": 1.0}], "labels"),
        ([{"LABEL_0": 0.2, "LABEL_1": 0.8}], "labels"),
        ([{"NEGATIVE": 0.2, "POSITIVE": 0.9}], "add up"),
        ([{"NEGATIVE": float("nan"), "POSITIVE": 0.8}], "add up"),
        ([{"NEGATIVE": 0.2, "POSITIVE": float("nan")}], "add up"),
        ([{"NEGATIVE": 0.3, "POSITIVE": 0.7}], "from the reference"),
    ],
)
def test_a_wrong_answer_is_found(answers: list[dict[str, float]], said: str) -> None:
    fault = checks.find_fault(answers, [[0.2, 0.8]], LABELS, tolerance=0.05)
    assert fault is not None
    assert said in fault


def test_a_number_that_is_none_is_found_where_only_the_best_label_is_given() -> None:
    answers = [{"POSITIVE": float("nan")}]
    assert "from the reference" in str(
        checks.find_fault(answers, [[0.2, 0.8]], LABELS, tolerance=0.05, all_labels=False)
    )


def test_answers_to_nothing_are_not_right() -> None:
    assert checks.find_fault([], [], LABELS, tolerance=0.05) == "there was no text to compare the answers to"


def test_another_label_is_found_within_the_tolerance_unless_the_reference_is_undecided() -> None:
    flipped = [{"NEGATIVE": 0.52, "POSITIVE": 0.48}]
    assert "another label" in str(checks.find_fault(flipped, [[0.44, 0.56]], LABELS, tolerance=0.1))
    assert checks.find_fault(flipped, [[0.48, 0.52]], LABELS, tolerance=0.1) is None


def test_a_right_answer_passes() -> None:
    assert checks.find_fault([{"POSITIVE": 0.79, "NEGATIVE": 0.21}], [[0.2, 0.8]], LABELS, tolerance=0.05) is None
    assert checks.find_fault([{"POSITIVE": 0.79}], [[0.2, 0.8]], LABELS, tolerance=0.05, all_labels=False) is None


def test_needed_arithmetic_leaves_out_most_of_the_last_layer() -> None:
    # Six layers of 12 width² weights each, two operations a weight and token, and the attention.
    assert arithmetic(128, needed=False) == 6 * 128 * (2 * 12 * 768**2 + 4 * 768 * 128)
    assert 0.83 < arithmetic(128, needed=True) / arithmetic(128, needed=False) < 0.9


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.home])
def test_a_peer_pins_every_package_exactly(name: str) -> None:
    path = FOLDER / PEERS[name].home / "requirements.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "==" not in line] == []
