"""Writes a prediction as a JSON list of labels and scores, by falling score: the form that several dialects share."""

import json
from collections.abc import Callable, Sequence
from itertools import islice

from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction


class RankedLabels:
    """Writes the predictions of one model."""

    def __init__(self, postprocessor: Postprocessor) -> None:
        self.scores = postprocessor.scores
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

    def best(
        self, prediction: Prediction, count: int | None, activation: Callable[[Sequence[float]], Sequence[float]]
    ) -> bytes:
        """Return the list of the `count` best labels (None: of all), with the scores that `activation` gives."""
        scores = activation(prediction.logits)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        items = ",".join(f"{self._openings[index]}{scores[index]!r}}}" for index in islice(order, count))
        return f"[{items}]".encode()
