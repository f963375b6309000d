"""Judges a bundle as `model_evaluation` judges what was just trained: the same sets, figures and behavioural tests.

    python -m training.judging project models/distilbert-minilm-sst2

writes `training/results/judged/NAME.json`; `python -m training.publish` puts it into docs/training.md. With
`--champion`, both answer every text, and what differs is told, too.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from mlapi.errors import BundleError
from training.data_ingestion import read_source
from training.evaluation import Judgement, judge
from training.params import ParamsError
from training.predictors import champion
from training.stages import Order, TrainingError, order, parser, say
from training.workspace import write_json


def judge_bundle(bundle: Path, told: Order) -> Judgement:
    """Measure a bundle on every evaluation set of a model, each as its file is.

    Raises:
        BundleError: the bundle, or a set, cannot be read.
        TrainingError: a set is missing, or the bundle has other labels than the model.
    """
    params = told.params
    sets = {
        source.name: read_source(told.source(source.file), source, params.labels) for source in params.data.evaluate
    }
    with ExitStack() as scratch:
        found = champion(bundle, params.labels, scratch)
        if found is None:
            msg = f"{bundle} is not a bundle with the labels {', '.join(params.labels)}"
            raise TrainingError(msg)
        _, predict = found
        before = None
        if told.champion is not None:
            before = champion(told.champion, params.labels, scratch)
            if before is None:
                msg = f"{told.champion} is not a bundle with the labels {', '.join(params.labels)}"
                raise TrainingError(msg)
        return judge(predict, sets, params.labels, before)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; a fault is one line, and exit code 1."""
    options = parser("python -m training.judging", "Judge a bundle on the evaluation sets of a model.")
    options.add_argument("model", help="the model of the parameters whose sets to use")
    options.add_argument("bundle", type=Path, help="the bundle's folder")
    options.add_argument("--output", type=Path, help="where to write (default: RESULTS/judged/NAME.json)")
    given = options.parse_args(arguments)
    try:
        told = order(given.model, given)
        judgement = judge_bundle(given.bundle, told)
    except (BundleError, ParamsError, TrainingError) as error:
        sys.exit(f"judging: {error}")
    output = given.output or given.results / "judged" / f"{given.bundle.name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, judgement.as_dict())
    for name, judged in judgement.sets.items():
        say(f"{given.bundle.name}: {judged.figures.accuracy.value:.4f} of {name} right")


if __name__ == "__main__":
    main()
