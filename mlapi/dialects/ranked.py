"""Writes a prediction as a JSON list of labels and scores, by falling score: the form that several dialects share."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec

from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction

_KEPT_ROWS: Final = 4096
"""How many predictions keep their scores as columns: a megabyte, for answers that are tables."""


class RankedLabels:
    """Writes the predictions of one model.

    Attributes:
        activation: what makes scores of logits.
        scores: the same, as a function.
        labels: in the model's order.
        written: the labels as JSON.
        columns: `_columns`, with what it returned for the last predictions.
    """

    def __init__(self, postprocessor: Postprocessor) -> None:
        self.activation = postprocessor.activation
        self.scores = postprocessor.scores
        self.labels = postprocessor.labels
        self.written = {label: msgspec.json.encode(label).decode() for label in postprocessor.labels}
        self.columns = lru_cache(_KEPT_ROWS)(self._columns)
        self._openings = tuple(f'{{"label":{json.dumps(label)},"score":' for label in postprocessor.labels)

    def all(self, prediction: Prediction) -> bytes:
        """Return `[{"label": …, "score": …}, …]`; equal scores keep the order of the labels. Made once, then kept."""
        kept = prediction.rendering
        if kept is None:
            kept = self.best(prediction, None, self.scores)
            object.__setattr__(prediction, "rendering", kept)  # it follows from the value, which stays frozen
        return kept

    def join(self, predictions: Sequence[Prediction]) -> bytes:
        """Return the lists of several predictions, with commas between them."""
        return b",".join([prediction.rendering or self.all(prediction) for prediction in predictions])

    def _columns(self, logits: tuple[float, ...]) -> tuple[str, str]:
        """Return the best score and all scores in the order of the labels, as JSON between commas."""
        written = [*map(repr, scores := self.scores(logits))]
        return written[scores.index(max(scores))], ",".join(written)

    def best(
        self,
        prediction: Prediction,
        count: int | None,
        activation: Callable[[Sequence[float]], Sequence[float]],
        least: float | None = None,
    ) -> bytes:
        """Return the list of the `count` best labels (None: of all), with the scores that `activation` gives.

        Labels whose scores are below `least` are left out.
        """
        scores = activation(prediction.logits)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        if least is not None:
            order = [index for index in order if scores[index] >= least]
        items = ",".join(f"{self._openings[index]}{scores[index]!r}}}" for index in islice(order, count))
        return f"[{items}]".encode()
