"""What versions of the service do wrong that a rollout must notice; copied into their images, beside the engine."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

_BEGAN: Final = time.monotonic()
_WELL_S: Final = 15.0
"""Long enough for a start, which computes texts of all lengths."""

_SHORT: Final = 16
"""Tokens of the longest text for which nothing is wrong: those of the gate, so that the figures have to find it."""

_LONG_S: Final = 0.7
_ONE_IN: Final = 25

Infer = Callable[[Any, Any, Any], Any]


def _is_wrong(ids: Any) -> bool:  # noqa: ANN401  numpy is the engine's
    return bool(ids.shape[1] > _SHORT) and time.monotonic() - _BEGAN > _WELL_S


def slow(infer: Infer) -> Infer:
    """Take long for longer texts that the cache does not know."""

    def wrong(engine: Any, ids: Any, mask: Any) -> Any:  # noqa: ANN401  numpy is the engine's
        if _is_wrong(ids):
            threading.Event().wait(_LONG_S)
        return infer(engine, ids, mask)

    return wrong


def failing(infer: Infer) -> Infer:
    """Fail for every second of the longer texts that the cache does not know."""

    def wrong(engine: Any, ids: Any, mask: Any) -> Any:  # noqa: ANN401  numpy is the engine's
        if _is_wrong(ids) and random.random() < 0.5:  # noqa: S311  no secret
            msg = "this version fails"
            raise RuntimeError(msg)
        return infer(engine, ids, mask)

    return wrong


def flipped(infer: Infer) -> Infer:
    """Say the opposite of one text in 25, always of the same ones."""

    def wrong(engine: Any, ids: Any, mask: Any) -> Any:  # noqa: ANN401  numpy is the engine's
        logits = infer(engine, ids, mask).copy()
        chosen = (ids * mask).sum(axis=1) % _ONE_IN == 7
        logits[chosen] = logits[chosen][:, ::-1]
        return logits

    return wrong
