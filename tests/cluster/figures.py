"""What the tests measured, kept for the end of the run: a cluster's behaviour is more than green or red."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """Lines by the name of the test that reported them."""

    _lines: dict[str, list[str]] = field(default_factory=dict)

    def report(self, test: str, line: str) -> None:
        """Keep one line of a test."""
        self._lines.setdefault(test, []).append(line)

    @property
    def lines(self) -> Sequence[str]:
        """All of them, each test's below its name."""
        return [text for test, lines in self._lines.items() for text in (test, *(f"    {line}" for line in lines))]
