"""Waiting for a condition of the cluster, for a bounded time."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_PAUSE_S: Final = 1.0


def until(condition: Callable[[], T | None], what: str, timeout_s: float) -> T:
    """Return the condition's value as soon as it is truthy; fail when that takes longer than `timeout_s` seconds.

    The last look is taken after the time is over: a machine that stood still is not mistaken for a condition unmet.
    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() >= give_up_at
        if value := condition():
            return value
        assert not late, f"after {timeout_s:g} s still not: {what}"
        wait(_PAUSE_S)


def wait(seconds: float) -> None:
    """Let time pass while something goes on that is to be watched for so long."""
    threading.Event().wait(seconds)
