"""The stage `data_preprocessing`: cleans the texts, and stops the run where they are not fit to learn from."""

from collections.abc import Sequence

from training.checks import check_leaks, check_rows, check_set, conflicting, duplicates
from training.lab import Texts, read, without
from training.params import Preprocessing
from training.stages import Order, Say, TrainingError, run_stage
from training.workspace import pick, write_json, write_texts


def preprocess(order: Order, say: Say) -> None:
    """Write `prepared/train.tsv`, the evaluation sets, and `checks.json`.

    No text stays on both sides, whatever its case and spacing; a source says on which one it is left out.

    Raises:
        TrainingError: a check forbids to go on; `checks.json` is written all the same.
    """
    rules, labels = order.params.preprocessing, order.params.labels
    raw = read(order.work.stage("data") / "train.tsv")
    evaluation = order.work.evaluation_sets("data")
    folder = order.work.stage("prepared", fresh=True)
    # Counted before the cleaning, which would hide them.
    checks = check_set("train", raw, rules)
    keeping = {source.name for source in order.params.data.evaluate if source.overlap == "evaluation"}
    judged = [text for name, data in evaluation.items() if name not in keeping for text in data.texts]
    train = clean(without(raw, judged), rules)
    evaluation |= {name: without(evaluation[name], train.texts) for name in evaluation if name in keeping}
    checks += check_rows("train", train, labels, rules)
    for name, data in evaluation.items():
        # An evaluation set need not have every label: half of them is enough to measure half of the model.
        checks += [check for check in check_rows(name, data, labels, rules) if not check.name.startswith("texts of")]
    checks += check_leaks(train, evaluation)
    write_json(folder / "checks.json", checks)
    stopping = [check for check in checks if check.stops]
    if stopping:
        reasons = "; ".join(
            f"{check.name} in {check.dataset}: {check.found} of {check.of} ({check.limit})" for check in stopping
        )
        msg = f"the texts are not fit to learn from: {reasons}"
        raise TrainingError(msg)
    write_texts(folder / "train.tsv", train)
    order.work.write_evaluation_sets("prepared", evaluation)
    say(f"data_preprocessing: {len(train.texts)} of {len(raw.texts)} texts kept, {len(checks)} checks passed")


def clean(data: Texts, rules: Preprocessing) -> Texts:
    """Leave out what the rules say."""
    dropped: set[int] = set()
    if rules.duplicates == "drop":
        dropped.update(duplicates(data))
    if rules.conflicts == "drop":
        dropped.update(conflicting(data))
    return pick(data, [place for place in range(len(data.texts)) if place not in dropped])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(preprocess, arguments, "data_preprocessing", "Clean and check the labelled texts.")


if __name__ == "__main__":
    main()
