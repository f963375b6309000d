"""Measures bundles on tweets in eight languages, most of which they were not made for.

    python -m training.languages --shared ../shared models/distilbert-minilm-sst2 models/tfidf-logreg-sst2

writes `training/results/languages.json`; `python -m training.publish` puts it into docs/training.md.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from mlapi.bundling.labelled import read_labelled
from mlapi.classifier import Classifier
from training.measures import Ratio
from training.stages import TrainingError, parser, say
from training.workspace import write_json

LANGUAGES: Final = ("arabic", "english", "french", "german", "hindi", "italian", "portuguese", "spanish")
LABELS: Final = ("NEGATIVE", "NEUTRAL", "POSITIVE")
"""UMSAB's; Barbieri et al., "XLM-T" (LREC 2022)."""


def measure(bundle: Path, folder: Path) -> dict[str, Any]:
    """Return for each language the share of right labels with its interval, over the tweets whose label it has.

    Raises:
        BundleError: the bundle, or a file of tweets, cannot be read.
        TrainingError: a label of the bundle is none of the tweets'.
    """
    with closing(Classifier.open(bundle)) as classifier:
        if not set(classifier.labels) <= set(LABELS):
            msg = f"{bundle}: its labels {', '.join(classifier.labels)} are not among {', '.join(LABELS)}"
            raise TrainingError(msg)
        rows: dict[str, Any] = {}
        for language in LANGUAGES:
            data = read_labelled(folder / f"{language}.val.tsv", LABELS, language, "indices")
            known = [
                (text, LABELS[label])
                for text, label in zip(data.texts, data.labels, strict=True)
                if LABELS[label] in classifier.labels
            ]
            given = [found.label for found in classifier.predict([text for text, _ in known])]
            right = np.array([label == truth for label, (_, truth) in zip(given, known, strict=True)])
            truths = np.array([truth for _, truth in known])
            rows[language] = {
                "accuracy": Ratio(int(right.sum()), len(right)).as_dict(),
                "recall": {
                    label: Ratio(int(right[truths == label].sum()), int((truths == label).sum())).as_dict()
                    for label in classifier.labels
                },
            }
            say(f"{classifier.name}, {language}: {rows[language]['accuracy']['value']:.4f} of {len(known)}")
        return {"name": classifier.name, "labels": list(classifier.labels), "languages": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    options = parser("python -m training.languages", "Measure bundles on tweets in eight languages.")
    options.add_argument("bundles", nargs="+", type=Path, help="the bundles' folders")
    given = options.parse_args(arguments)
    if given.shared is None:
        options.error("set SHARED_DIR, or --shared, to the folder whose data/umsab/ has the tweets")
    found = [measure(bundle, given.shared / "data/umsab") for bundle in given.bundles]
    given.results.mkdir(parents=True, exist_ok=True)
    write_json(given.results / "languages.json", found)


if __name__ == "__main__":
    main()
