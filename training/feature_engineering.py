"""The stage `feature_engineering`: turns texts into the numbers that a model reads."""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from mlapi.tokenizing.ngrams import ANALYSER, Vocabulary
from mlapi.tokenizing.ngrams import FILE as VOCABULARY
from training.lab import choose_terms, read
from training.params import LinearFeatures
from training.stages import Order, Say, run_stage
from training.workspace import Workspace

IDF = "idf.npy"
"""Inverse document frequencies in double precision; those of a bundle have half of it."""


def engineer(order: Order, say: Say) -> None:
    """Write `features/`: the terms, their frequencies and the matrix of a linear model; token ids of an encoder.

    Raises:
        TrainingError: the checkpoint whose tokenizer an encoder uses is missing.
    """
    data = read(order.work.stage("prepared") / "train.tsv")
    folder = order.work.stage("features", fresh=True)
    if isinstance(order.params.features, LinearFeatures):
        vectorizer = choose_terms(data, min_df=order.params.features.min_df, terms=order.params.features.terms)
        terms = vectorizer.get_feature_names_out().tolist()
        (folder / VOCABULARY).write_bytes(msgspec.json.encode(Vocabulary(ANALYSER, terms)))
        np.save(folder / IDF, vectorizer.idf_, allow_pickle=False)
        sparse.save_npz(folder / "train.npz", vectorizer.transform(data.texts))
        say(f"feature_engineering: {len(terms)} terms")
        return
    from training import encoder  # noqa: PLC0415  PyTorch, which only the models that need it have to have

    tokens = encoder.tokenize(order, data.texts)
    tokens.save(folder / "train.npz")
    say(f"feature_engineering: {tokens.count} tokens, {tokens.unknown} of them unknown")


def stored_vectorizer(work: Workspace) -> TfidfVectorizer:
    """Return the vectoriser as it was when it was fitted."""
    folder = work.stage("features")
    terms = msgspec.json.decode((folder / VOCABULARY).read_bytes(), type=Vocabulary).terms
    vectorizer = TfidfVectorizer(**msgspec.to_builtins(ANALYSER), vocabulary=terms)
    vectorizer.idf_ = np.load(folder / IDF, allow_pickle=False)
    return vectorizer


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(engineer, arguments, "feature_engineering", "Turn texts into features.")


if __name__ == "__main__":
    main()
