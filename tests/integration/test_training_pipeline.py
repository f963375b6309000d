"""The stages one by one, as DVC runs them: what they leave can be served, repeats, and is refused where it must be."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlapi.bundles.store import open_bundle
from mlapi.classifier import Classifier
from mlapi.observability.drift import BOUNDS
from training import (
    data_ingestion,
    data_preprocessing,
    feature_engineering,
    model_building,
    model_evaluation,
    model_registration,
    sample,
)
from training.params import DEFAULT
from training.pipeline import main
from training.stages import EXIT_REFUSED
from training.workspace import read_json, sha256

SMALL = DEFAULT.with_name("small.yaml")
FASTER = "models: {lab: {building: {search: {trials: 2, folds: 2}}}}"
STAGES = (
    data_ingestion,
    data_preprocessing,
    feature_engineering,
    model_building,
    model_evaluation,
    model_registration,
)


def options(tmp_path: Path, results: str = "results", over: str = FASTER) -> list[str]:
    file = tmp_path / "over.yaml"
    file.write_text(over, encoding="utf-8")
    files = (DEFAULT, SMALL, file)
    return [*(part for path in files for part in ("--params", str(path))), "--results", str(tmp_path / results)]


def skewed(tmp_path: Path, weight: str) -> dict[str, Any]:
    """Train on texts of which 6.3 % are negative, as in the seed of this project, and return the figures."""
    rows = sample.make_up(4_000)
    negative = [row for row in rows if row[1] == 0]
    rows = [row for row in rows if row[1] == 1] + negative[: int(0.067 * (len(rows) - len(negative)))]
    file = tmp_path / "data" / "skewed.tsv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    over = f"""
models:
  lab:
    data:
      train: [{{name: skewed, file: skewed.tsv, sha256: {sha256(file)}, labels: {{"0": NEGATIVE, "1": POSITIVE}}}}]
    building: {{C: 1.0, class_weight: {weight}, search: {{trials: 0}}}}
    gate: {{accuracy: {{held out: 0.5}}, behaviour: null, bias_gap: null}}
"""
    main(["lab", *options(tmp_path, weight, over), "--shared", str(tmp_path)])
    metrics: dict[str, Any] = read_json(tmp_path / weight / "lab/metrics.json")["sets"]["held out"]
    return metrics


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the stages, each started by itself."""
    folder = tmp_path_factory.mktemp("training")
    for stage in STAGES:
        stage.main(["lab", *options(folder)])
    return folder / "results" / "lab"


def test_the_bundle_is_whole_and_answers(made: Path) -> None:
    manifest = open_bundle(made / "bundle/lab-sample").manifest
    with Classifier.open(made / "bundle/lab-sample") as classifier:
        found = classifier.predict(["the soup is wonderful", "the soup is dreadful"])
    assert [one.label for one in found] == ["POSITIVE", "NEGATIVE"]
    assert [one.dataset for one in manifest.evaluations] == ["held out"]
    assert manifest.evaluations[0].agreement == 1.0
    assert manifest.reference_texts == manifest.evaluations[0].texts
    assert set(manifest.reference_bins) == set(BOUNDS)


def test_the_experiment_names_everything_by_its_digest(made: Path) -> None:
    found = read_json(made / "experiment_info.json")
    assert found["bundle"] == open_bundle(made / "bundle/lab-sample").manifest.digest
    assert found["evaluation"] == sha256(made / "metrics.json")
    assert found["report"] == sha256(made / "evaluation/report.html")
    assert found["data"] == {"train": [sha256(DEFAULT.with_name("sample") / "texts.tsv")], "evaluate": []}
    assert len(read_json(made / "model/training.json")["trials"]) == 2


def test_the_report_is_one_file_that_asks_nobody(made: Path) -> None:
    page = (made / "evaluation/report.html").read_text(encoding="utf-8")
    assert all(word not in page for word in ("http:", "https:", "src=", "<link", "<script"))
    for title in ("Confusion", "Calibration", "Precision and recall", "Learning curve", "Slices", "Words that decide"):
        assert f"{title}" in page
    assert page.count("<svg") == 5
    assert "wonderful" in page.partition("Words that decide")[2]


def test_the_plots_are_there_for_other_programs_too(tmp_path: Path) -> None:
    digest = sha256(DEFAULT.with_name("sample") / "texts.tsv")
    again = f"name: 'again, with a comma', file: sample/texts.tsv, sha256: {digest}, overlap: evaluation"
    again += ", labels: {'0': NEGATIVE, '1': POSITIVE}"
    over = f"models: {{lab: {{data: {{evaluate: [{{{again}}}]}}, building: {{search: {{trials: 0}}}}}}}}"
    main(["lab", *options(tmp_path, over=over)])
    for name, columns in (("confusion", 4), ("calibration", 3), ("precision_recall", 4), ("learning_curve", 3)):
        with (tmp_path / f"results/lab/evaluation/{name}.csv").open(encoding="utf-8", newline="") as plot:
            rows = list(csv.reader(plot))
        assert len(rows) > 3, name
        assert {len(row) for row in rows} == {columns}, name


def test_all_at_once_gives_the_same_bytes_as_stage_by_stage(made: Path, tmp_path: Path) -> None:
    main(["lab", *options(tmp_path)])
    for name in ("metrics.json", "evaluation/report.html", "bundle/lab-sample/bundle.json", "model/training.json"):
        assert (tmp_path / "results/lab" / name).read_bytes() == (made / name).read_bytes(), name


def test_weights_help_the_rare_label(tmp_path: Path) -> None:
    plain, weighted = skewed(tmp_path, "none"), skewed(tmp_path, "balanced")
    assert weighted["labels"]["NEGATIVE"]["recall"]["value"] > plain["labels"]["NEGATIVE"]["recall"]["value"] + 0.1
    assert weighted["balanced_accuracy"] > plain["balanced_accuracy"] + 0.05


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (
            "models: {lab: {gate: {accuracy: {held out: 0.99}}}}",
            "model_registration: lab-sample is not good enough",
        ),
        ("models: {lab: {gate: {accuracy: {other: 0.1}}}}", "accuracy on other was not measured"),
    ],
    ids=["worse than it has to be", "not measured"],
)
def test_what_is_not_good_enough_leaves_no_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], over: str, said: str
) -> None:
    faster = over.replace("{lab: {", "{lab: {building: {search: {trials: 0}}, ")
    with pytest.raises(SystemExit) as ended:
        main(["lab", *options(tmp_path, over=faster)])
    assert ended.value.code == EXIT_REFUSED
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("bundle.json"))
    assert not list(tmp_path.rglob("experiment_info.json"))


def test_texts_of_an_ignored_label_are_left_out(tmp_path: Path) -> None:
    grades = tmp_path / "data/grades.tsv"
    grades.parent.mkdir()
    grades.write_text("text\tlabel\nbad\t1\nso so\t3\ngood\t5\nawful\t1\nfine\t5\n", encoding="utf-8")
    source = f"name: grades, file: grades.tsv, sha256: {sha256(grades)}, ignore: ['2', '3']"
    over = (
        f"models: {{lab: {{data: {{train: [{{{source}, labels: {{'5': POSITIVE, '1': NEGATIVE}}}}], held_out: 0.5}}}}}}"
    )
    data_ingestion.main(["lab", *options(tmp_path, over=over), "--shared", str(tmp_path)])
    names = ("train.tsv", "evaluation-held-out.tsv")
    rows = [(tmp_path / "results/lab/data" / name).read_text(encoding="utf-8").split("\n")[1:-1] for name in names]
    assert sorted(row for part in rows for row in part) == ["awful\t0", "bad\t0", "fine\t1", "good\t1"]


def test_too_few_texts_leave_no_bundle(tmp_path: Path) -> None:
    over = "models: {lab: {preprocessing: {min_texts: 5000}}}"
    with pytest.raises(SystemExit, match=r"^data_preprocessing: .+texts of NEGATIVE in train: "):
        main(["lab", *options(tmp_path, over=over)])
    assert not list(tmp_path.rglob("bundle.json"))
    assert not list(tmp_path.rglob("experiment_info.json"))


def test_an_older_bundle_does_not_outlive_a_refusal(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path / "results/lab")
    with pytest.raises(SystemExit):
        model_registration.main(["lab", *options(tmp_path, over="models: {lab: {gate: {accuracy: {held out: 1}}}}")])
    assert "not good enough" in capsys.readouterr().err
    assert not list(tmp_path.rglob("bundle.json"))


def test_whole_data_sets_are_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARED_DIR", raising=False)
    with pytest.raises(SystemExit, match=r"sst2/train\.tsv is not part of the repository: set SHARED_DIR"):
        main(["lab", "--results", str(tmp_path)])


def test_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data/sst2/train.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("text\tlabel\ngood\t1\nbad\t0\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="is not the file that the parameters name"):
        main(["lab", "--results", str(tmp_path / "results"), "--shared", str(tmp_path)])


def test_a_stage_without_those_before_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^model_building: .+train\.tsv is missing: run the stages before this one$"):
        model_building.main(["lab", *options(tmp_path)])


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no such model: nobody \(one of: lab, "):
        main(["nobody", "--results", str(tmp_path)])


def test_the_sample_is_what_its_generator_makes(tmp_path: Path) -> None:
    names = ("texts.tsv", "frozen.tsv")
    sample.main([str(tmp_path / name) for name in names])
    for name in names:
        assert (tmp_path / name).read_bytes() == (DEFAULT.with_name("sample") / name).read_bytes()


def test_the_sample_is_balanced() -> None:
    labels = np.array([label for _, label in sample.make_up(sample.COUNT)])
    assert 0.45 < labels.mean() < 0.55
