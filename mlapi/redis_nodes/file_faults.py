"""Which of the files that let us into Redis cannot be used as they are; older contents hold meanwhile."""

import logging
from collections.abc import Callable
from pathlib import Path

_logger = logging.getLogger(__name__)


class FileFaults:
    """Shows a number, and a line in the log whenever a file turns bad or good."""

    def __init__(self, show: Callable[[float], None]) -> None:
        """Start with none; `show` is told 1 while there is any, else 0."""
        self._show = show
        self._faults: dict[Path, str] = {}

    def bad(self, path: Path, why: str) -> None:
        """Say that a file cannot be used, so that its former content holds."""
        if self._faults.get(path) != why:
            _logger.error("%s cannot be used, what it said before holds: %s", path, why)
        self._faults[path] = why
        self._show(1)

    def good(self, path: Path) -> None:
        """Say that a file was used."""
        if self._faults.pop(path, None) is not None:
            _logger.info("%s can be used again", path)
        self._show(1 if self._faults else 0)
