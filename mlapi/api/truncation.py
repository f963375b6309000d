"""Refuses texts that are longer than the model reads, for callers that do not want them cut."""

from collections.abc import Sequence

from mlapi.errors import TextFault, TextTooLongError
from mlapi.predictions import Prediction


def refuse_truncated(predictions: Sequence[Prediction]) -> None:
    """Refuse texts that were cut, naming them all.

    Raises:
        TextTooLongError: some were.
    """
    long = [index for index, prediction in enumerate(predictions) if prediction.truncated]
    if long:
        msg = f"{len(long)} of {len(predictions)} texts are longer than the model reads"
        detail = "is longer than the model reads"
        raise TextTooLongError(msg, faults=[TextFault(index, detail) for index in long])
