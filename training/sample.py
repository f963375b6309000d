"""Makes up labelled sentences about products, films and places, to try the training with where there are no others.

The sentences are the project's own (Apache-2.0). Figures on them say nothing about what people write. Run it as

    python -m training.sample training/sample/texts.tsv training/sample/frozen.tsv

The second file holds others, to judge with.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from training.workspace import HEADER

COUNT: Final = 2_000
FROZEN: Final = 500
_SEED: Final = 7
_NOISE: Final = 0.04
"""Share of labels that are wrong, because people's are, too."""

_THINGS: Final = (
    "film", "story", "acting", "music", "ending", "camera", "battery", "screen", "keyboard", "sound", "hotel", "room",
    "breakfast", "service", "staff", "soup", "coffee", "waiter", "garden", "view", "train", "seat", "book", "plot",
)  # fmt: skip
_GOOD: Final = (
    "good", "great", "wonderful", "funny", "charming", "beautiful", "clever", "moving", "excellent", "pleasant",
    "fresh", "friendly", "fast", "reliable", "warm", "delightful", "brilliant", "lovely", "superb", "comfortable",
)  # fmt: skip
_BAD: Final = (
    "bad", "terrible", "boring", "dull", "awful", "stupid", "ugly", "annoying", "poor", "rude", "stale", "slow",
    "broken", "cold", "dreadful", "disappointing", "tedious", "noisy", "useless", "dirty",
)  # fmt: skip
_FRAMES: Final = (
    "the {thing} is {word}",
    "the {thing} was {very} {word}",
    "what a {word} {thing} !",
    "i found the {thing} {very} {word} , and so did my friends",
    "{very} {word} {thing} , and the {other} is {same} , too",
    "we expected little of the {thing} , but it is {word}",
    "after two weeks the {thing} is still {word}",
    "the {thing} could not be more {word}",
)
_TURNED: Final = (
    "the {thing} is not {word}",
    "the {thing} was never {word}",
    "nobody would call this {thing} {word}",
    "the {thing} is anything but {word}",
)
_VERY: Final = ("very", "really", "quite", "truly", "extremely")
_TURN: Final = 0.2


def make_up(count: int, seed: int = _SEED) -> list[tuple[str, int]]:
    """Return so many sentences with their labels: 1 for a good word, 0 for a bad one, turned by a negation."""
    source = random.Random(seed)  # noqa: S311  reproducible, not secret
    found: dict[str, int] = {}
    while len(found) < count:
        label = source.randrange(2)
        turned = source.random() < _TURN
        words = _GOOD if (label == 1) != turned else _BAD
        text = source.choice(_TURNED if turned else _FRAMES).format(
            thing=source.choice(_THINGS),
            other=source.choice(_THINGS),
            word=source.choice(words),
            same=source.choice(words),
            very=source.choice(_VERY),
        )
        found.setdefault(text, 1 - label if source.random() < _NOISE else label)
    return [*found.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the sentences into the files that the command line names."""
    learn, judge = sys.argv[1:] if arguments is None else arguments
    rows = make_up(COUNT + FROZEN)
    for path, part in ((learn, rows[:COUNT]), (judge, rows[COUNT:])):
        Path(path).write_text(HEADER + "".join(f"{text}\t{label}\n" for text, label in part), encoding="utf-8")


if __name__ == "__main__":
    main()
