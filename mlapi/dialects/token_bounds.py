"""Holds an answer to the length that its request wants texts to be cut to: here, only the model's own cuts them."""

from collections.abc import Callable, Sequence

from mlapi.errors import InvalidRequestError, Violation
from mlapi.predictions import Prediction

_MAX_VIOLATIONS = 100


def refuse_longer(predictions: Sequence[Prediction], bound: int, pointer: Callable[[int], str]) -> None:
    """Refuse an answer that was not read from as few tokens as was asked for: it would be another one.

    Args:
        predictions: the answer.
        bound: tokens of one text, special tokens included.
        pointer: tells where a text stands in the body.

    Raises:
        InvalidRequestError: a text has more.
    """
    long = [index for index, prediction in enumerate(predictions) if prediction.tokens > bound]
    if long:
        msg = f"texts are not cut to {bound} tokens here, and {len(long)} of them have more"
        violations = [Violation(pointer(index), "has more tokens") for index in long[:_MAX_VIOLATIONS]]
        raise InvalidRequestError(msg, violations=violations)
