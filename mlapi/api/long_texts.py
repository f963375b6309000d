"""Answers texts that are longer than the model reads by their windows."""

import math
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from mlapi.api.served_model import LoadedModel
from mlapi.dialects.base import Combine
from mlapi.dialects.ranked import RankedLabels
from mlapi.predictions import Answer, Prediction, Source

_WORST_FIRST: Final = (Source.MODEL, Source.COLLAPSED, Source.L2, Source.L1)


class CutTexts(NamedTuple):
    """Texts in windows.

    Attributes:
        windows: of all texts, one after the other.
        counts: how many are each text's.
        digests: of the texts themselves.
    """

    windows: Sequence[str]
    counts: Sequence[int]
    digests: Sequence[bytes]


async def cut(model: LoadedModel, texts: Sequence[str]) -> CutTexts:
    """Cut texts into windows; a text that is not too long is its own only one.

    Raises:
        InvalidRequestError: texts with nothing in them to read; names them all.
    """
    digests = model.predictor.query(texts).digests
    windows = await model.tokenizing.windows(texts)
    return CutTexts([window for group in windows for window in group], [len(group) for group in windows], digests)


def combine(answer: Answer, cut_texts: CutTexts, how: Combine, ranked: RankedLabels) -> Answer:
    """Return the answer to texts, made of that to their windows, whose counts it keeps."""
    predictions, sources = [], []
    start = 0
    for count in cut_texts.counts:
        own = answer.predictions[start : start + count]
        predictions.append(own[0] if count == 1 else _combined(own, how, ranked))
        found = frozenset(answer.sources[start : start + count])
        sources.append(next(source for source in _WORST_FIRST if source in found))
        start += count
    return answer._replace(
        predictions=predictions, sources=sources, digests=cut_texts.digests, windows=cut_texts.counts
    )


def _combined(windows: Sequence[Prediction], how: Combine, ranked: RankedLabels) -> Prediction:
    """Return the prediction of a text: of each label the highest logit, or the mean by the windows' tokens."""
    columns = zip(*(window.logits for window in windows), strict=True)
    tokens = [window.tokens for window in windows]
    logits = [max(column) if how == "max" else _mean(column, tokens) for column in columns]
    rounded = tuple(array("f", logits))
    scores = ranked.scores(rounded)
    label = ranked.labels[scores.index(max(scores))]
    return Prediction(rounded, label, sum(tokens), any(window.truncated for window in windows))


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
