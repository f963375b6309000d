"""Compares a peer's answers with the reference's, before anything is measured: speed counts only for right answers."""

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.dialects import Scores

_CLOSE: Final = 0.1
"""Texts whose two probabilities are closer than this may get either label from a peer with coarser arithmetic."""

_SUM: Final = 0.001


def find_fault(
    answers: Sequence[Scores],
    expected: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    tolerance: float,
    all_labels: bool = True,
) -> str | None:
    """Say what is wrong with the answers to some texts; None if nothing is.

    Args:
        answers: what the peer said.
        expected: the reference's probabilities, in the order of `labels`.
        labels: the model's labels.
        tolerance: how far a probability may be from the reference's.
        all_labels: whether a text's answer must give all labels, or the best alone.
    """
    if not expected:
        return "there was no text to compare the answers to"
    if len(answers) != len(expected):
        return f"{len(answers)} answers to {len(expected)} texts"
    for number, (scores, reference) in enumerate(zip(answers, expected, strict=True)):
        fault = _fault(scores, dict(zip(labels, reference, strict=True)), tolerance, all_labels=all_labels)
        if fault:
            return f"text {number}: {fault}"
    return None


def furthest(answers: Sequence[Scores], expected: Sequence[Sequence[float]], labels: Sequence[str]) -> float:
    """Return the largest distance of a probability from the reference's."""
    pairs = zip(answers, (dict(zip(labels, row, strict=True)) for row in expected), strict=True)
    return max(abs(score - reference[label]) for scores, reference in pairs for label, score in scores.items())


def _fault(scores: Scores, reference: Mapping[str, float], tolerance: float, *, all_labels: bool) -> str | None:
    if not scores or not set(scores) <= set(reference) or len(scores) != (len(reference) if all_labels else 1):
        return f"labels {sorted(scores)} where there are {sorted(reference)}"
    # Written so that a NaN is a fault: no comparison with one holds.
    if all_labels and not abs(sum(scores.values()) - 1) <= _SUM:
        return f"probabilities that add up to {sum(scores.values()):.4f}"
    apart = max(abs(score - reference[label]) for label, score in scores.items())
    if not apart <= tolerance:
        return f"a probability that is {apart:.4f} from the reference, more than {tolerance}"
    first, second = sorted(reference, key=lambda label: reference[label], reverse=True)[:2]
    if reference[first] - reference[second] > _CLOSE and max(scores, key=lambda label: scores[label]) != first:
        return f"another label than {first}"
    return None
