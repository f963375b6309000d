"""How many pods a Deployment is told to have, watched over time."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.cluster.kubectl import Kubectl, KubectlError

_PAUSE_S: Final = 2.0


@dataclass(slots=True)
class ReplicaCount:
    """The changes so far.

    Attributes:
        changes: seconds since the first look, and the count from then on.
    """

    changes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def now(self) -> int:
        """The count at the last look."""
        return self.changes[-1][1]

    def since(self, seconds: float) -> Sequence[int]:
        """The counts from a moment on, the one that held then first."""
        before = [count for at, count in self.changes if at <= seconds]
        return [*before[-1:], *(count for at, count in self.changes if at > seconds)]

    def __str__(self) -> str:
        """The counts in order, each with the second of its change."""
        return ", ".join(f"{count} at {at:.0f} s" for at, count in self.changes)


def rising(counts: Sequence[int]) -> bool:
    """Whether no count is below the one before it."""
    return all(earlier <= later for earlier, later in pairwise(counts))


@contextmanager
def watched(kubectl: Kubectl, deployment: str) -> Iterator[ReplicaCount]:
    """Look every few seconds, until the block is over."""
    found = ReplicaCount([(0.0, _count(kubectl, deployment))])
    began = time.monotonic()
    over = threading.Event()

    def look() -> None:
        while not over.wait(_PAUSE_S):
            try:
                count = _count(kubectl, deployment)
            except KubectlError:
                continue
            if count != found.now:
                found.changes.append((time.monotonic() - began, count))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _count(kubectl: Kubectl, deployment: str) -> int:
    replicas: int = kubectl.get("deployment", deployment)["spec"]["replicas"]
    return replicas
