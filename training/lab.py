"""Trains the model of `/lab`: TF-IDF and logistic regression with scikit-learn, exported as a bundle without pickle.

The same data, parameters and library versions give the same bytes on processors of one family. Run it as

    python -m training.lab --train sst2/train.tsv --dev sst2/dev.tsv --output models/tfidf-logreg-sst2
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import chi2
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from mlapi.bundles.manifest import SCHEMA, Evaluation, FileEntry, Manifest, Provenance, ScoreDifference
from mlapi.bundles.store import Bundle, write_bundle
from mlapi.engines.linear import IDF, WEIGHTS, LinearEngine
from mlapi.postprocessing import probabilities
from mlapi.tokenizing.ngrams import ANALYSER, FILE, NgramTokenizer, Vocabulary

LABELS: Final = ("NEGATIVE", "POSITIVE")
TOLERANCE: Final = 1e-6
"""How far a probability may be from scikit-learn's."""

MEMORY_BYTES: Final = 19_000_000
"""What a process needs for the model: measured by `python -m benchmarks.memory_need`, and 20 %."""

_TOOLS: Final = ("numpy", "scikit-learn", "scipy")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the training is told.

    Attributes:
        min_df: texts that a term has to occur in.
        terms: how many terms to keep, those with the highest chi-squared statistic.
        C: inverse of the strength of the regularisation.
        seed: of the solver, which draws nothing as it is set here.
    """

    min_df: int = 3
    terms: int = 40_000
    C: float = 4.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Texts:
    """Labelled texts: a label is its index."""

    texts: Sequence[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The estimators as scikit-learn has fitted them."""

    vectorizer: TfidfVectorizer
    classifier: LogisticRegression

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return scikit-learn's own probabilities, shape [texts, labels]."""
        found: NDArray[np.float64] = self.classifier.predict_proba(self.vectorizer.transform(texts))
        return found


def read(path: Path) -> Texts:
    """Read lines `text<TAB>label index` below a header."""
    rows = [line.rpartition("\t") for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")[1:]]
    return Texts([text for text, _, _ in rows], np.array([int(label) for _, _, label in rows]))


def without(data: Texts, held_out: Sequence[str]) -> Texts:
    """Leave out the texts that the evaluation will ask for, whatever their case and spacing."""
    known = {" ".join(text.lower().split()) for text in held_out}
    kept = [index for index, text in enumerate(data.texts) if " ".join(text.lower().split()) not in known]
    return Texts([data.texts[index] for index in kept], data.labels[kept])


def fit(data: Texts, parameters: Parameters) -> Fitted:
    """Choose the terms and fit the classifier."""
    vectorizer = choose_terms(data, min_df=parameters.min_df, terms=parameters.terms)
    features = vectorizer.transform(data.texts)
    return Fitted(vectorizer, classify(features, data.labels, C=parameters.C, seed=parameters.seed))


def choose_terms(data: Texts, *, min_df: int, terms: int) -> TfidfVectorizer:
    """Fit a vectoriser of the terms that are in `min_df` texts: of them the `terms` that tell the labels apart best."""
    analyser = msgspec.to_builtins(ANALYSER)
    with threadpool_limits(1):
        candidates = TfidfVectorizer(**analyser, min_df=min_df)
        statistic, _ = chi2(candidates.fit_transform(data.texts), data.labels)
        # Stable, so that of equal terms the first in the alphabet are kept.
        best = np.sort(np.argsort(-statistic, kind="stable")[:terms])
        vectorizer = TfidfVectorizer(**analyser, vocabulary=candidates.get_feature_names_out()[best].tolist())
        return vectorizer.fit(data.texts)


def classify(
    features: Any,  # noqa: ANN401  a sparse matrix of scipy, which has no types
    labels: NDArray[np.int64],
    *,
    C: float,  # noqa: N803  scikit-learn's name
    seed: int,
    class_weight: str = "none",
) -> LogisticRegression:
    """Fit a logistic regression; on one thread, because how a sum is split changes its last bits."""
    weight = None if class_weight == "none" else class_weight
    with threadpool_limits(1):
        return LogisticRegression(C=C, class_weight=weight, max_iter=1000, random_state=seed).fit(features, labels)


def export(fitted: Fitted, folder: Path) -> dict[str, Path]:
    """Write the bundle's files but for its manifest; returns their paths by name."""
    terms = fitted.vectorizer.get_feature_names_out().tolist()
    classifier = fitted.classifier
    intercept = np.reshape(classifier.intercept_, (-1, 1))
    arrays = {
        IDF: np.concatenate([[0.0], fitted.vectorizer.idf_]),
        WEIGHTS: np.concatenate([intercept, classifier.coef_], axis=1),
    }
    paths = {name: folder / name for name in (FILE, *arrays)}
    paths[FILE].write_bytes(msgspec.json.encode(Vocabulary(ANALYSER, terms)))
    for name, array in arrays.items():
        np.save(paths[name], array.astype("<f4"), allow_pickle=False)
    return paths


def served(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the probabilities that the service gives, from files that `export` wrote; shape [texts, labels]."""
    tokenizer = NgramTokenizer.load(folder / FILE, None)
    engine = LinearEngine(np.load(folder / IDF), np.load(folder / WEIGHTS))
    rows = []
    for text in tokenizer.encode(texts):
        ids = np.array([text.ids])
        rows.append(probabilities(engine.infer(ids, np.ones_like(ids))[0].tolist(), "softmax"))
    return np.array(rows, dtype=np.float32)


def evaluate(
    name: str, ours: NDArray[np.float32], reference: NDArray[np.float64], truth: NDArray[np.int64]
) -> Evaluation:
    """Compare the served probabilities with the truth and with scikit-learn's."""
    winner = reference.argmax(axis=1)
    apart = np.abs(ours.astype(np.float64) - reference)[np.arange(len(winner)), winner]
    return Evaluation(
        dataset=name,
        texts=len(truth),
        accuracy=float((ours.argmax(axis=1) == truth).mean()),
        reference_accuracy=float((winner == truth).mean()),
        agreement=float((ours.argmax(axis=1) == winner).mean()),
        score_difference=ScoreDifference(
            median=float(np.median(apart)),
            p99=float(np.quantile(apart, 0.99, method="higher")),
            max=float(apart.max()),
        ),
    )


def train(train_file: Path, dev_file: Path, output: Path, parameters: Parameters) -> Bundle:
    """Train, compare with scikit-learn and write the bundle.

    Raises:
        BundleError: the output folder exists.
        ValueError: the exported model does not answer as scikit-learn does.
    """
    dev = read(dev_file)
    fitted = fit(without(read(train_file), dev.texts), parameters)
    with tempfile.TemporaryDirectory() as scratch:
        files = export(fitted, Path(scratch))
        evaluation = evaluate(
            "SST-2 dev", served(Path(scratch), dev.texts), fitted.probabilities(dev.texts), dev.labels
        )
        if evaluation.agreement < 1.0 or evaluation.score_difference.max > TOLERANCE:
            msg = f"the exported model is not scikit-learn's: {evaluation}"
            raise ValueError(msg)

        def describe(entries: Mapping[str, FileEntry]) -> Manifest:
            return Manifest(
                schema=SCHEMA,
                name=output.name,
                labels=LABELS,
                activation="softmax",
                max_tokens=None,
                pad_id=0,
                engine="linear",
                precision="fp32",
                files=dict(entries),
                provenance=Provenance(
                    source=f"SST-2 {train_file.stem}",
                    revision=hashlib.sha256(train_file.read_bytes()).hexdigest(),
                    licence="Apache-2.0",
                    built_with={tool: version(tool) for tool in _TOOLS},
                    parameters=msgspec.to_builtins(parameters),
                ),
                evaluations=(evaluation,),
                cache="l1",
                memory_bytes=MEMORY_BYTES,
            )

        return write_bundle(output, files, describe)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    defaults = Parameters()
    parser = argparse.ArgumentParser(prog="python -m training.lab", description="Train the model of /lab.")
    parser.add_argument("--train", type=Path, required=True, help="labelled texts, as GLUE's SST-2 train.tsv")
    parser.add_argument("--dev", type=Path, required=True, help="labelled texts to evaluate with")
    parser.add_argument("--output", type=Path, required=True, help="the bundle's folder; must not exist")
    for name, kind in (("min_df", int), ("terms", int), ("C", float), ("seed", int)):
        parser.add_argument(
            f"--{name.lower().replace('_', '-')}", dest=name, type=kind, default=getattr(defaults, name)
        )
    given = vars(parser.parse_args(arguments))
    train_file, dev_file, output = (given.pop(name) for name in ("train", "dev", "output"))
    bundle = train(train_file, dev_file, output, Parameters(**given))
    sys.stdout.write(f"{bundle.folder}: {bundle.manifest.evaluations[0]}\n")


if __name__ == "__main__":
    main()
