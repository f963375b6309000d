"""Turns a row of logits into a prediction, the same one whatever rows were computed beside it."""

import math
from array import array
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from mlapi.errors import EngineError
from mlapi.predictions import Prediction

POSTPROCESSING_VERSION: Final = "1"
"""Part of the model digest: changes whenever these functions could change a score's last bit."""

Activation: TypeAlias = Literal["softmax", "sigmoid"]


def probabilities(logits: Sequence[float], activation: Activation) -> tuple[float, ...]:
    """Apply the activation to one row, in double precision, and round to float32.

    One row at a time and in plain Python, because a vectorised `exp` may round differently by position in its vector.

    Raises:
        EngineError: a logit is not a finite number.
    """
    if not all(map(math.isfinite, logits)):
        msg = "the model answered with a number that is not finite"
        raise EngineError(msg)
    if activation == "sigmoid":
        # tanh does not overflow for large negative logits, where exp(-x) would.
        scores = [0.5 * (1.0 + math.tanh(0.5 * logit)) for logit in logits]
    else:
        top = max(logits)
        powers = [math.exp(logit - top) for logit in logits]
        total = math.fsum(powers)
        scores = [power / total for power in powers]
    return tuple(array("f", scores))


class Postprocessor:
    """Makes predictions of one model's logits, always the same prediction of the same logits."""

    def __init__(self, labels: Sequence[str], activation: Activation) -> None:
        self.labels = tuple(labels)
        self.activation = activation

    def prediction(self, logits: Sequence[float], *, tokens: int, truncated: bool) -> Prediction:
        """Return the prediction of one row of logits, each exactly representable as float32.

        Raises:
            EngineError: not one finite logit for each label.
        """
        return self.scored(logits, tokens=tokens, truncated=truncated)[0]

    def scored(self, logits: Sequence[float], *, tokens: int, truncated: bool) -> tuple[Prediction, float]:
        """Return the same, and the score of its label.

        Raises:
            EngineError: as `prediction`.
        """
        if len(logits) != len(self.labels):
            msg = f"the model answered with {len(logits)} logits for {len(self.labels)} labels"
            raise EngineError(msg)
        scores = self.scores(logits)
        winner = max(range(len(scores)), key=scores.__getitem__)
        return Prediction(tuple(logits), self.labels[winner], tokens, truncated), scores[winner]

    def scores(self, logits: Sequence[float]) -> tuple[float, ...]:
        """Return the probabilities of one row of finite logits, as float32.

        Raises:
            EngineError: a logit is not a finite number.
        """
        return probabilities(logits, self.activation)
