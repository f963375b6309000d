"""The stage `data_ingestion`: fetches the texts that the parameters name, proves that it is those, splits them."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from sklearn.model_selection import train_test_split

from mlapi.bundling.labelled import read_labelled
from training.lab import Texts
from training.params import Source
from training.stages import Order, Say, TrainingError, run_stage
from training.workspace import pick, sha256, write_json, write_texts

HELD_OUT = "held out"


class _Example(msgspec.Struct):
    text: str
    label: str


def ingest(order: Order, say: Say) -> None:
    """Write `data/train.tsv`, the evaluation sets, and `sources.json`, which says what they were made of.

    Raises:
        BundleError: a file is not one of labelled texts; the message names the line.
        TrainingError: a file is missing or has changed.
    """
    params = order.params
    folder = order.work.stage("data", fresh=True)
    train = joined([_read(source, order) for source in params.data.train])
    evaluation = {source.name: _read(source, order) for source in params.data.evaluate}
    if params.data.held_out:
        kept, held_out = train_test_split(
            np.arange(len(train.texts)),
            test_size=params.data.held_out,
            random_state=params.data.seed,
            stratify=train.labels,
        )
        evaluation[HELD_OUT] = pick(train, sorted(held_out.tolist()))
        train = pick(train, sorted(kept.tolist()))
    if order.feedback:
        # After the draw: opinions teach, and judge nothing here.
        train = joined([train, *[read_feedback(order.feedback, params.labels)] * params.data.feedback_copies])
    write_texts(folder / "train.tsv", train)
    order.work.write_evaluation_sets("data", evaluation)
    write_json(
        folder / "sources.json",
        {
            "train": [{"name": source.name, "sha256": source.sha256} for source in params.data.train],
            "evaluate": [{"name": source.name, "sha256": source.sha256} for source in params.data.evaluate],
            "texts": {"train": len(train.texts)} | {name: len(data.texts) for name, data in evaluation.items()},
        }
        | ({"feedback": sha256(order.feedback)} if order.feedback else {}),
    )
    sizes = ", ".join(f"{len(data.texts)} texts of {name}" for name, data in evaluation.items())
    say(f"data_ingestion: {len(train.texts)} texts to learn from; to judge with {sizes}")


def _read(source: Source, order: Order) -> Texts:
    path = order.source(source.file)
    found = sha256(path)
    if found != source.sha256:
        msg = f"{path} is not the file that the parameters name: its SHA-256 is {found}, not {source.sha256}"
        raise TrainingError(msg)
    return read_source(path, source, order.params.labels)


def read_source(path: Path, source: Source, labels: Sequence[str]) -> Texts:
    """Read a file without the texts to ignore, and translate its labels to the indices of the model's.

    Raises:
        BundleError: it is not a file of labelled texts.
    """
    data = read_labelled(path, [*source.labels, *source.ignore], source.name, "names")
    index_of = [labels.index(label) for label in source.labels.values()]
    kept = [place for place, label in enumerate(data.labels) if label < len(index_of)]
    return Texts(
        [data.texts[place] for place in kept], np.array([index_of[data.labels[place]] for place in kept], np.int64)
    )


def read_feedback(path: Path, labels: Sequence[str]) -> Texts:
    """Read texts that `mlapi learn export` wrote; what breaks lines in them is a space here.

    Raises:
        TrainingError: it is no such file, or a label is not one of the model's.
    """
    try:
        lines = path.read_bytes().split(b"\n")
        examples = [msgspec.json.decode(line, type=_Example) for line in lines if line]
        found = [labels.index(example.label) for example in examples]
    except (OSError, ValueError, msgspec.DecodeError) as error:
        msg = f"{path} does not hold texts from opinions with the labels {', '.join(labels)}: {error}"
        raise TrainingError(msg) from error
    texts = [" ".join("".join(c if c.isprintable() else " " for c in one.text).split()) for one in examples]
    kept = [place for place, text in enumerate(texts) if text]
    return Texts([texts[place] for place in kept], np.array([found[place] for place in kept], np.int64))


def joined(sets: Sequence[Texts]) -> Texts:
    """Return the texts of all sets, in their order."""
    return Texts([text for data in sets for text in data.texts], np.concatenate([data.labels for data in sets]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(ingest, arguments, "data_ingestion", "Fetch and split the labelled texts.")


if __name__ == "__main__":
    main()
