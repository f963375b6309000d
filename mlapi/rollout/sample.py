"""Collects the texts that a rollout is judged on: those that are hot in the old version's processes, and given ones."""

from collections.abc import Callable, Sequence
from contextlib import closing

from mlapi.rollout.version import HotSample, Place, Version, VersionError

MOST: int = 20_000


def hot_texts(
    place: Place, limit: int, asks: int, open_version: Callable[[Place, str | None], Version] = Version
) -> dict[str, int]:
    """Return the hot texts of a version with their counts, the most frequent first.

    Each address of the name is asked, and at least `asks` times, on connections of their own: behind one address of a
    Service each may reach another process. Of a process that answers more than once the first answer counts.

    Raises:
        VersionError: it cannot be asked, or keeps no sample.
    """
    addresses = place.addresses()
    samples: dict[str, HotSample] = {}
    failure: VersionError | None = None
    for turn in range(max(asks, len(addresses))):
        with closing(open_version(place, addresses[turn % len(addresses)])) as version:
            try:
                sample = version.hot_texts(limit)
            except VersionError as error:
                failure = error  # a pod that is going away must not end it, if another one answers
                continue
        samples.setdefault(sample.process, sample)
    if not samples and failure is not None:
        raise failure
    counts: dict[str, int] = {}
    for sample in samples.values():
        for text, count in sample.texts.items():
            counts[text] = counts.get(text, 0) + count
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:limit])


def with_given(hot: dict[str, int], given: Sequence[str]) -> dict[str, int]:
    """Return hot texts and given ones, each of the latter as if it were asked for once."""
    return hot | {text: 1 for text in given if text not in hot}
