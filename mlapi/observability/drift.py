"""The bins by which texts that the model computed are counted, and by which a bundle says what it expects."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client.utils import floatToGoString

from mlapi.observability.tally import Count

LABEL: Final = "label"
"""The feature whose bins are the model's labels."""

BOUNDS: Final[Mapping[str, Sequence[float]]] = {
    "score": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99),
    "tokens": (4, 8, 16, 32, 64, 128, 256, 512),
    "unknown": (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
}
"""Upper bounds of the bins of what is a number, rising, without the infinite one: the winning label's score, how many
tokens the model read, which share of them its vocabulary lacks. A bundle's shares are for these bounds alone."""

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    feature: (*map(floatToGoString, bounds), "+Inf") for feature, bounds in BOUNDS.items()
}


class Distributions:
    """Counts texts by the bins of each feature."""

    def __init__(self, series: Callable[[str, str], Count]) -> None:
        """Make the counters of scores and tokens; those of labels and unknown tokens are made when first counted.

        Args:
            series: returns the counter of a feature's bin.
        """
        self._series = series
        self._labels: dict[str, Count] = {}
        self._scores, self._tokens = (self._all(feature) for feature in ("score", "tokens"))
        self._unknown: list[Count] = []

    def observe(self, label: str, score: float, tokens: int, unknown: float | None) -> None:
        """Count one text; of `unknown`, None is for tokenizers that cannot say, and counts nowhere."""
        winner = self._labels.get(label)
        if winner is None:
            winner = self._labels[label] = self._series(LABEL, label)
        winner.value += 1
        self._scores[bisect_left(BOUNDS["score"], score)].value += 1
        self._tokens[bisect_left(BOUNDS["tokens"], tokens)].value += 1
        if unknown is not None:
            if not self._unknown:
                self._unknown = self._all("unknown")
            self._unknown[bisect_left(BOUNDS["unknown"], unknown)].value += 1

    def _all(self, feature: str) -> list[Count]:
        return [self._series(feature, name) for name in _NAMES[feature]]


class Sample:
    """Counts texts by the same bins where there are no metrics: what a bundle's reference is made of."""

    def __init__(self) -> None:
        """Start with none."""
        self.texts = 0
        self._counts: dict[tuple[str, str], Count] = {}
        self._distributions = Distributions(lambda feature, name: self._counts.setdefault((feature, name), Count()))

    def observe(self, label: str, score: float, tokens: int, unknown: float | None) -> None:
        """Count one text."""
        self.texts += 1
        self._distributions.observe(label, score, tokens, unknown)

    def shares(self, feature: str) -> dict[str, float]:
        """Return the share of the texts in each bin of a feature; none if no text, or nothing of it, was counted."""
        counts = {name: count.value for (of, name), count in self._counts.items() if of == feature}
        total = sum(counts.values())
        return {name: value / total for name, value in counts.items()} if total else {}


def comparable(spread: Mapping[str, Mapping[str, float]]) -> bool:
    """Return whether shares are of the bins that are counted here; those of another release may not be."""
    return all(feature in _NAMES and set(shares) == set(_NAMES[feature]) for feature, shares in spread.items())
