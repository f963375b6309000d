"""A training becomes a run of a real MLflow, once, with everything that its pages and a registry need."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source_rules import ROOT
from tests.programs import find_environment
from training import tracking
from training.params import DEFAULT
from training.pipeline import main
from training.workspace import read_json

TRACK_TWICE_AND_READ = """
import json, sys
from pathlib import Path
from mlflow import MlflowClient
from training.tracking import track

results, store, files = sys.argv[1:]
tracked = [track(Path(results), store, files) for _ in range(2)]
client = MlflowClient(tracking_uri=store)
found = client.search_runs([client.get_experiment_by_name("lab").experiment_id])
curve = client.get_metric_history(tracked[0], "curve/accuracy on texts set aside")
print(json.dumps({
    "tracked": tracked,
    "runs": {run.info.run_id: {"status": run.info.status, **run.data.to_dictionary()} for run in found},
    "files": [file.path for folder in ("", "evaluation") for file in client.list_artifacts(tracked[0], folder)],
    "curve": [point.step for point in curve],
}))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    over = folder / "over.yaml"
    over.write_text("models: {lab: {building: {search: {trials: 2, folds: 2}}}}", encoding="utf-8")
    files = (DEFAULT, DEFAULT.with_name("small.yaml"), over)
    main(["lab", *(part for path in files for part in ("--params", str(path))), "--results", str(folder)])
    return folder / "lab"


def test_a_training_is_one_run_and_its_trials_are_runs_below_it(results: Path, tmp_path: Path) -> None:
    program = str(find_environment("tracking") / "python")
    arguments = [str(results), f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "files").as_uri()]
    done = subprocess.run(
        [program, "-c", TRACK_TWICE_AND_READ, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    runs: dict[str, Any] = found["runs"]
    info, metrics = (read_json(results / name) for name in ("experiment_info.json", "metrics.json"))
    identity, again = found["tracked"]
    assert identity == again
    run, trials = runs.pop(identity), list(runs.values())
    assert [trial["tags"]["mlflow.parentRunId"] for trial in trials] == [identity] * 2
    assert all(set(trial["params"]) == {"C", "class_weight"} for trial in trials)
    assert run["status"] == "FINISHED"
    assert run["tags"]["mlapi.bundle"] == info["bundle"]
    assert run["params"]["terms"] == "5000"
    assert run["metrics"]["held out/accuracy"] == metrics["sets"]["held out"]["accuracy"]["value"]
    assert run["metrics"]["behaviour/negation"] == metrics["behaviour"]["negation"]["value"]
    assert found["curve"] == [135, 337, 675, 1350]
    assert {"metrics.json", "experiment_info.json", "evaluation/report.html"} <= set(found["files"])


def test_a_training_that_was_not_registered_is_not_tracked(results: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes((results / "metrics.json").read_bytes())
    with pytest.raises(SystemExit, match="the training is not complete"):
        tracking.main([str(tmp_path), "--store", f"sqlite:///{tmp_path}/mlflow.db"])
    assert not (tmp_path / "mlflow.db").exists()
