"""Which columns an answer has in the output, and what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mlapi.offline.base import Ranking


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """The best label and its score, or a list of labels with their scores.

    Attributes:
        top: so many labels, the best ones; None: all. 1 without a threshold gives two columns instead of a list.
        threshold: only labels with at least this score; None: whatever their score.
        prefix: what the names of the columns begin with.
    """

    top: int | None = 1
    threshold: float | None = None
    prefix: str = ""

    @property
    def single(self) -> bool:
        """Whether it is the best label alone, in columns of its own."""
        return self.top == 1 and self.threshold is None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        names = ("label", "score") if self.single else ("predictions",)
        return tuple(f"{self.prefix}{name}" for name in names)

    def columns(self, answer: Ranking | None) -> Mapping[str, Any]:
        """Return what is in them; without an answer, nothing."""
        if answer is None:
            return dict.fromkeys(self.names)
        if self.single:
            return dict(zip(self.names, (answer.labels[0], answer.scores[0]), strict=True))
        pairs = islice(zip(answer.labels, answer.scores, strict=True), self.top)
        listed = [
            {"label": label, "score": score}
            for label, score in pairs
            if self.threshold is None or score >= self.threshold
        ]
        return {self.names[0]: listed}
