"""Texts in words that no shipped model has seen, and what they are: what people of the learning loop's tests judge."""

from typing import Final

GOOD: Final = ("snazzy", "nifty", "peachy", "zesty")
BAD: Final = ("janky", "grotty", "naff", "cruddy")
THINGS: Final = ("film", "story", "music", "ending", "screen", "hotel", "soup", "waiter", "garden", "train")
FRAMES: Final = (
    "the {} is {}",
    "the {} was {}",
    "i found the {} {}",
    "this {} is {} , really",
    "after a week the {} is {}",
)
TEXTS: Final = {
    frame.format(thing, word): "POSITIVE" if word in GOOD else "NEGATIVE"
    for frame in FRAMES
    for thing in THINGS
    for word in (*GOOD, *BAD)
}
"""400 texts, and what they are."""

SPREAD: Final = [list(TEXTS)[start::7] for start in range(7)]
"""The texts in parts; every word is in each."""
