"""Divides an input among processes: which rows each takes, and how its output is named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mlapi.offline.base import UsageError
from mlapi.offline.compressed import SUFFIXES

_FORM: Final = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Part:
    """One of `count` parts of an input; the parts follow each other as the rows do."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `i/n`, i from 0 to n - 1.

        Raises:
            UsageError: it is not like that.
        """
        form = _FORM.fullmatch(text)
        part = cls(*map(int, form.groups())) if form else None
        if part is None or part.index >= part.count:
            msg = f"{text!r} is not like 0/4: the number of the part, counted from 0, and how many there are"
            raise UsageError(msg)
        return part

    def bounds(self, total: int) -> tuple[int, int]:
        """Return where the part of something with so many bytes or rows begins and ends."""
        return total * self.index // self.count, total * (self.index + 1) // self.count

    def name(self, output: Path) -> Path:
        """Return the name of the part's output: `scores-00002-of-00008.csv.gz` of `scores.csv.gz`."""
        if self.count == 1:
            return output
        suffixes = output.suffixes[-2:] if output.suffix in SUFFIXES else output.suffixes[-1:]
        ending = "".join(suffixes)
        stem = output.name.removesuffix(ending)
        return output.with_name(f"{stem}-{self.index:05}-of-{self.count:05}{ending}")

    def deal(self, files: Sequence[Path]) -> Sequence[Path]:
        """Return the part's files of a folder: every `count`-th."""
        return files[self.index :: self.count]


WHOLE: Final = Part()
