"""Turns a row of logits into float32 probabilities, the same bytes whatever rows were computed beside it."""

import math
from array import array
from collections.abc import Sequence
from typing import Final, Literal

from mlapi.errors import EngineError

POSTPROCESSING_VERSION: Final = "1"
"""Part of the model digest: changes whenever these functions could change a score's last bit."""


def probabilities(logits: Sequence[float], activation: Literal["softmax", "sigmoid"]) -> tuple[float, ...]:
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
