"""Runs all stages of some models one after the other, without DVC: for a first try, a test, a Job in a cluster."""

import sys
from collections.abc import Sequence
from typing import Final

from mlapi.errors import BundleError
from training.data_ingestion import ingest
from training.data_preprocessing import preprocess
from training.feature_engineering import engineer
from training.model_building import build
from training.model_evaluation import evaluate
from training.model_registration import register
from training.params import DEFAULT, ParamsError, read_params
from training.stages import NotGoodEnoughError, Stage, TrainingError, order, parser, refuse, say

STAGES: Final[dict[str, Stage]] = {
    "data_ingestion": ingest,
    "data_preprocessing": preprocess,
    "feature_engineering": engineer,
    "model_building": build,
    "model_evaluation": evaluate,
    "model_registration": register,
}
"""The stages in their order, by the names that `dvc.yaml` has, too."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; a fault is one line, and exit code 1; 3 where a model is not good enough."""
    options = parser("python -m training.pipeline", "Train models from their texts to their bundles.")
    options.add_argument("models", nargs="*", help="models of the parameters (default: all)")
    given = options.parse_args(arguments)
    stage = "parameters"
    try:
        models = given.models or list(read_params(given.params or [DEFAULT]).models)
        for model in models:
            told = order(model, given)
            for stage, run in STAGES.items():  # noqa: B007  named in the message below
                run(told, say)
    except NotGoodEnoughError as error:
        refuse(stage, error)
    except (BundleError, ParamsError, TrainingError) as error:
        sys.exit(f"{stage}: {error}")


if __name__ == "__main__":
    main()
