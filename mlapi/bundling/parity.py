"""Compares an engine with the fp32 reference on labelled texts, and a text's scores alone with those in batches."""

import random
import statistics
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from mlapi.bundles.manifest import Evaluation, ScoreDifference
from mlapi.bundling.labelled import LabelledTexts
from mlapi.engines.base import Engine, Logits
from mlapi.engines.scorer import pad
from mlapi.postprocessing import probabilities
from mlapi.predictions import EncodedText
from mlapi.tokenizing.base import Tokenizer

MAX_ACCURACY_LOSS: Final = 0.005
"""Share of texts by which a bundle may be less accurate than the reference."""

MIN_AGREEMENT: Final = 0.99
"""Share of texts to which a bundle must give the reference's label."""

_THRESHOLD: Final = 0.5
_SEED: Final = 7
_BATCH_SIZES: Final = (2, 5, 16)


@dataclass(frozen=True, slots=True)
class Runner:
    """An engine and how its bundle is to be read.

    Attributes:
        engine: computes the logits.
        pad_id: token id that fills a row up to its padded length.
        activation: turns logits into scores.
        padded_length: the padded length of a text of so many tokens.
    """

    engine: Engine
    pad_id: int
    activation: Literal["softmax", "sigmoid"]
    padded_length: Callable[[int], int]

    def scores(self, text: EncodedText) -> tuple[float, ...]:
        """Score one text alone."""
        return probabilities(self.logits([text])[0].tolist(), self.activation)

    def logits(self, texts: Sequence[EncodedText]) -> Logits:
        """Run texts of one padded length together; shape [texts, labels]."""
        return self.engine.infer(*pad(texts, self.padded_length(len(texts[0].ids)), self.pad_id))


def compare(
    candidate: Runner,
    data: LabelledTexts,
    encoded: Sequence[EncodedText],
    expected: Sequence[Sequence[float]],
    note: Callable[[EncodedText, int, float], None] | None = None,
) -> Evaluation:
    """Score every text with the candidate, each text alone, and compare with the reference's scores.

    Both agree on a text if they give it the same label and, where labels do not exclude each other, the same labels a
    score of at least one half. `note` is told each text, the candidate's label and its score.
    """
    right = reference_right = agreed = 0
    differences = []
    for text, truth, reference in zip(encoded, data.labels, expected, strict=True):
        scores = candidate.scores(text)
        label, winner = _best(scores), _best(reference)
        # Of outputs that exclude each other, the best one is the decision; of others, whether each applies.
        alike = candidate.activation == "softmax" or _applies(scores) == _applies(reference)
        right += label == truth
        reference_right += winner == truth
        agreed += label == winner and alike
        if note is not None:
            note(text, label, scores[label])
        differences.append(abs(scores[winner] - reference[winner]))
    texts = len(encoded)
    return Evaluation(
        dataset=data.name,
        texts=texts,
        accuracy=right / texts,
        reference_accuracy=reference_right / texts,
        agreement=agreed / texts,
        score_difference=ScoreDifference(
            median=statistics.median(differences),
            p99=float(np.quantile(differences, 0.99, method="higher")),
            max=max(differences),
        ),
        file=data.file,
        sha256=data.sha256,
        repeated=data.repeated,
        truncated=sum(text.truncated for text in encoded),
    )


def shortfalls(evaluation: Evaluation) -> list[str]:
    """Say, for people, what of an evaluation is not good enough to publish; empty if nothing."""
    found = []
    texts = f"the {evaluation.texts} texts of {evaluation.dataset}"
    loss = evaluation.reference_accuracy - evaluation.accuracy
    if loss > MAX_ACCURACY_LOSS:
        found.append(
            f"on {texts} its accuracy {evaluation.accuracy:.4f} is {100 * loss:.2f} points below the reference's "
            f"{evaluation.reference_accuracy:.4f}; at most {100 * MAX_ACCURACY_LOSS:.1f} are allowed"
        )
    if evaluation.agreement < MIN_AGREEMENT:
        found.append(
            f"it agrees with the reference on {100 * evaluation.agreement:.2f} % of {texts}; "
            f"at least {100 * MIN_AGREEMENT:.0f} % are required"
        )
    return found


def moved_by_batching(candidate: Runner, encoded: Sequence[EncodedText]) -> int:
    """Count the texts whose logits, to the bit, depend on what else is in the batch or on its order.

    Texts of equal padded length are computed in batches of several sizes, in the given and in shuffled order, and
    compared with each text alone.
    """
    alone = [candidate.logits([text]).tobytes() for text in encoded]
    shuffled = list(range(len(encoded)))
    random.Random(_SEED).shuffle(shuffled)  # noqa: S311  reproducible, not secret
    moved: set[int] = set()
    for order in (range(len(encoded)), shuffled):
        for size in _BATCH_SIZES:
            for batch in _batches(order, [candidate.padded_length(len(text.ids)) for text in encoded], size):
                logits = candidate.logits([encoded[index] for index in batch])
                moved.update(index for row, index in enumerate(batch) if logits[row].tobytes() != alone[index])
    return len(moved)


def made_up_texts(tokenizer: Tokenizer, max_tokens: int) -> list[EncodedText]:
    """Make texts of many lengths out of nonsense, for when there is no data set."""
    source = random.Random(_SEED)  # noqa: S311  reproducible, not secret
    counts = [min(count, max_tokens) for count in (*range(20), 30, 60, 120, 250, 500) for _ in range(4)]
    return tokenizer.encode([" ".join(source.choices(string.ascii_lowercase, k=count)) for count in counts])


def _batches(order: Sequence[int], lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Split indices into batches of at most `size`, each of one padded length."""
    for length in sorted(set(lengths)):
        same = [index for index in order if lengths[index] == length]
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _applies(scores: Sequence[float]) -> list[bool]:
    return [score >= _THRESHOLD for score in scores]


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)
