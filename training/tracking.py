"""Copies a finished training into MLflow: a run with parameters, figures, curves and files, and a run a trial below it.

It reads only what the stages have written, and runs in environments of their own (`tools/training_tools.sh`):

    .tools/tracking/bin/python -m training.tracking training/results/lab
    .tools/mlflow/bin/mlflow ui --backend-store-uri sqlite:///training/mlflow.db

A training is copied once: its `experiment_info.json` is the run's identity.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
STORE: Final = f"sqlite:///{FOLDER / 'mlflow.db'}"
IDENTITY: Final = "mlapi.experiment"
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_./ -]")


def track(results: Path, store: str, artifacts: str) -> str:
    """Copy one model's training, unless it was before.

    Args:
        results: the folder that the stages have filled.
        store: where MLflow keeps runs, as it names it.
        artifacts: where it keeps files, for an experiment that does not exist yet.

    Returns:
        The id of the run.

    Raises:
        OSError: the training did not get to its end: a file is missing.
    """
    info, metrics, training = (
        json.loads((results / name).read_text(encoding="utf-8"))
        for name in ("experiment_info.json", "metrics.json", "model/training.json")
    )
    # Nothing is reported to anybody, whatever the environment says.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow  # noqa: PLC0415  not before the line above

    client: Any = mlflow.MlflowClient(tracking_uri=store)
    known = client.get_experiment_by_name(info["model"])
    experiment = known.experiment_id if known else client.create_experiment(info["model"], artifact_location=artifacts)
    identity = hashlib.sha256((results / "experiment_info.json").read_bytes()).hexdigest()
    found = client.search_runs([experiment], f"tags.`{IDENTITY}` = '{identity}' and attributes.status = 'FINISHED'")
    if found:
        return str(found[0].info.run_id)
    run = client.create_run(experiment, tags=tags(info, identity), run_name=f"{info['name']} {info['bundle'][:12]}")
    run_id = run.info.run_id
    for name, value in info["chosen"].items():
        client.log_param(run_id, name, value)
    for name, value in figures(metrics):
        client.log_metric(run_id, name, value)
    for point in training["curve"]:
        for line, value in point["lines"].items():
            client.log_metric(run_id, _key(f"curve/{line}"), value, step=int(point["x"]))
    for file in ("experiment_info.json", "metrics.json", "model/training.json", "prepared/checks.json"):
        client.log_artifact(run_id, str(results / file))
    client.log_artifacts(run_id, str(results / "evaluation"), "evaluation")
    for trial in training["trials"]:
        _trial(client, experiment, run_id, trial)
    # Last: a copy that was interrupted is not taken for a whole one.
    client.set_terminated(run_id)
    return str(run_id)


def tags(info: Mapping[str, Any], identity: str) -> dict[str, str]:
    """Return what names a run by digests."""
    named = {
        IDENTITY: identity,
        "mlapi.bundle": info["bundle"],
        "mlapi.dataset": ",".join(info["data"]["train"]),
        "mlapi.parameters": info["parameters"],
        "mlapi.evaluation": info["evaluation"],
        "mlapi.parent": info["parent"],
        "mlapi.commit": info["commit"],
    }
    return {name: value for name, value in named.items() if value}


def figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the figures of `metrics.json` with the names that MLflow allows."""
    for name, found in metrics["sets"].items():
        for figure in ("balanced_accuracy", "ece", "brier", "log_loss"):
            yield _key(f"{name}/{figure}"), found[figure]
        for bound in ("value", "low", "high"):
            yield _key(f"{name}/accuracy" + ("" if bound == "value" else f" {bound}")), found["accuracy"][bound]
        for label, of_label in found["labels"].items():
            yield _key(f"{name}/{label}/recall"), of_label["recall"]["value"]
            yield _key(f"{name}/{label}/precision"), of_label["precision"]["value"]
            yield _key(f"{name}/{label}/f1"), of_label["f1"]
    for name, passed in metrics["behaviour"].items():
        yield _key(f"behaviour/{name}"), passed["value"]
    if metrics["bias_gap"] is not None:
        yield "bias/largest gap", metrics["bias_gap"]


def _trial(client: Any, experiment: str, parent: str, trial: Mapping[str, Any]) -> None:  # noqa: ANN401  MLflow is Any
    named = {"mlflow.parentRunId": parent}
    run_id = client.create_run(experiment, tags=named, run_name=f"trial {trial['number']}").info.run_id
    for name, value in trial["parameters"].items():
        client.log_param(run_id, name, value)
    client.log_metric(run_id, "balanced accuracy", trial["score"])
    for fold, score in enumerate(trial["folds"]):
        client.log_metric(run_id, "balanced accuracy of a fold", score, step=fold)
    client.set_terminated(run_id)


def _key(name: str) -> str:
    return _FORBIDDEN.sub("", name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.tracking", description="Copy a training into MLflow.")
    parser.add_argument("results", type=Path, help="a model's folder, such as training/results/lab")
    parser.add_argument("--store", default=os.environ.get("MLFLOW_TRACKING_URI") or STORE, help=f"default: {STORE}")
    parser.add_argument("--artifacts", default=(FOLDER / "mlartifacts").as_uri(), help="where files go")
    given = parser.parse_args(arguments)
    try:
        run_id = track(given.results, given.store, given.artifacts)
    except OSError as error:
        sys.exit(f"tracking: the training is not complete: {error}")
    sys.stdout.write(f"tracking: run {run_id} in {given.store}\n")


if __name__ == "__main__":
    main()
