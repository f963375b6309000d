"""Compares classifiers over bags of words and over TF-IDF, as the project that this one continues did.

    python -m training.comparison --shared ../shared

writes `training/results/comparison.json`; `python -m training.publish` puts it into docs/training.md.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from training.data_ingestion import read_source
from training.lab import Texts, without
from training.measures import Ratio
from training.params import ModelParams
from training.stages import Order, order, parser, say
from training.workspace import write_json

SEED: Final = 7

Row: TypeAlias = dict[str, Any]

VECTORISERS: Final[dict[str, Callable[[], Any]]] = {
    "BoW, 50 words": lambda: CountVectorizer(max_features=50),
    "BoW, words": lambda: CountVectorizer(min_df=3),
    "BoW, words and pairs": lambda: make_pipeline(
        CountVectorizer(ngram_range=(1, 2), min_df=3), SelectKBest(chi2, k=40_000)
    ),
    "TF-IDF, words": lambda: TfidfVectorizer(sublinear_tf=True, min_df=3),
    "TF-IDF, words and pairs": lambda: make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=3), SelectKBest(chi2, k=40_000)
    ),
}
"""By name. The first one is what the original took: the 50 most frequent words."""

CLASSIFIERS: Final[dict[str, Callable[[], Any]]] = {
    "logistic regression, L2": lambda: LogisticRegression(C=4.0, max_iter=1000, random_state=SEED),
    "logistic regression, L1": lambda: LogisticRegression(
        C=4.0, l1_ratio=1.0, solver="liblinear", max_iter=1000, random_state=SEED
    ),
    "linear SVM": lambda: LinearSVC(C=0.5, random_state=SEED),
    "naive Bayes": MultinomialNB,
    "random forest": lambda: RandomForestClassifier(
        n_estimators=100, max_depth=60, min_samples_leaf=2, random_state=SEED, n_jobs=1
    ),
}


def compare(train: Texts, test: Texts, labels: Sequence[str]) -> list[Row]:
    """Fit every classifier on every kind of features; return a row each, the best first.

    A row has the accuracy and each label's recall with their intervals.
    """
    rows: list[Row] = []
    for features, vectoriser in VECTORISERS.items():
        fitted = vectoriser()
        matrix, unseen = fitted.fit_transform(train.texts, train.labels), fitted.transform(test.texts)
        for name, classifier in CLASSIFIERS.items():
            given = classifier().fit(matrix, train.labels).predict(unseen)
            rows.append(
                {
                    "features": features,
                    "terms": int(matrix.shape[1]),
                    "classifier": name,
                    "accuracy": _ratio(given == test.labels),
                    "recall": {
                        label: _ratio(given[test.labels == index] == index) for index, label in enumerate(labels)
                    },
                }
            )
            say(f"{features} × {name}: {rows[-1]['accuracy']['value']:.4f}")
    return sorted(rows, key=lambda row: -row["accuracy"]["value"])


def _ratio(right: NDArray[np.bool_]) -> dict[str, float | int]:
    return Ratio(int(right.sum()), len(right)).as_dict()


def sets(told: Order, params: ModelParams) -> tuple[Texts, Texts]:
    """Read the first file to learn from and the first to judge with, without what is in both.

    Raises:
        BundleError: a file is not one of labelled texts.
        TrainingError: a file is missing.
    """
    train, test = (
        read_source(told.source(source.file), source, params.labels)
        for source in (params.data.train[0], params.data.evaluate[0])
    )
    return without(train, test.texts), test


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    given = parser("python -m training.comparison", "Compare classifiers on SST-2.").parse_args(arguments)
    told = order("lab", given)
    train, test = sets(told, told.params)
    rows = compare(train, test, told.params.labels)
    found = {
        "train": len(train.texts),
        "test": len(test.texts),
        "sha256": told.params.data.train[0].sha256,
        "rows": rows,
    }
    given.results.mkdir(parents=True, exist_ok=True)
    write_json(given.results / "comparison.json", found)


if __name__ == "__main__":
    main()
