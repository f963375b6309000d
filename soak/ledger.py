"""Counts what happened in a soak, and keeps examples of what should not have."""

from collections import Counter
from collections.abc import Callable
from typing import Final

_EXAMPLES: Final = 20
_EXAMPLE_CHARS: Final = 2_000


class Ledger:
    """What happened so far.

    Attributes:
        answered: right answers to steady requests, by route.
        texts: texts of those, by where they were answered from.
        metered: answers to the key whose quota is small, and texts granted.
        metered_due: texts that it has to have been granted at least, however seldom the machine let it ask.
        attacks: attacks that ended as they should, by name.
        faults: faults that were injected and seen to take effect, by name.
        failures: what should not have happened, by kind.
        examples: some of those, in words.
    """

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Start with nothing; `tell` is told of the first failures of each kind as they happen."""
        self._tell = tell
        self.answered: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        self.metered: Counter[str] = Counter()
        self.metered_due = 0.0
        self.attacks: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.examples: list[str] = []

    def fail(self, kind: str, detail: str) -> None:
        """Take note of what should not have happened."""
        self.failures[kind] += 1
        if self.failures[kind] <= _EXAMPLES:
            self.examples.append(f"{kind}: {detail}"[:_EXAMPLE_CHARS])
            self._tell(self.examples[-1])
