"""Asks a version for many texts politely: one request at a time, at a bounded rate, for a bounded time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from mlapi.rollout.version import Answered, RefusedError

BATCH: Final = 32
_SAY_EVERY_S: Final = 5.0
_MAX_WAIT_S: Final = 30.0
_SERVER_ERROR: Final = 500
_PASSED_ON: Final = frozenset({400, 401, 403, 404, 405, 407, 409, 415})
"""Refusals that all other requests would meet, too."""


class Asked(Protocol):
    """What is asked; see `mlapi.rollout.version.Version`."""

    def predict(self, texts: Sequence[str]) -> Answered:
        """Return the predictions of texts."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how long to ask.

    Attributes:
        texts_per_s: at most so many.
        seconds: when to stop.
        clock: monotonic seconds.
        sleep: waits so many seconds.
        say: takes a line about the progress now and then.
    """

    texts_per_s: float
    seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    say: Callable[[str], None]


@dataclass(slots=True)
class Gathered:
    """What came of it.

    Attributes:
        scores: of each text that was answered, by label.
        refused: texts that the version will never answer.
        failed: texts on which it failed, with a 5xx that does not ask to come again.
        left: texts that it was not asked for, or did not get to, in the time that there was.
        waits: how often it asked to come again later.
        sources: how many texts came from where (l1, l2, collapsed, model).
    """

    scores: dict[str, Mapping[str, float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: int = 0
    waits: int = 0
    sources: dict[str, int] = field(default_factory=dict)


def gather(version: Asked, texts: Sequence[str], pace: Pace, what: str) -> Gathered:
    """Ask a version for texts.

    An overloaded version is given the time that it asks for, and half the pace from then on. Of a request that is
    refused for good each text is asked for alone: one that is too long must not cost the others their answer.

    Raises:
        VersionError: it cannot be asked, or refuses whoever asks.
    """
    gathered = Gathered()
    started = said = pace.clock()
    end = started + pace.seconds
    rate = pace.texts_per_s
    queue = list(_batches(texts))[::-1]
    due = started
    while queue:
        now = pace.clock()
        if due > now:
            pace.sleep(min(due, end) - now)
            now = pace.clock()
        if now >= end:
            break
        batch = queue.pop()
        # Counted from now, not from when it was due: a version that was slow is not pressed to make up for it.
        due = now + len(batch) / rate
        try:
            _take(gathered, batch, version.predict(batch))
        except RefusedError as error:
            if error.retry_after_s is not None:
                gathered.waits += 1
                rate = max(1.0, rate / 2)
                due = pace.clock() + min(error.retry_after_s, _MAX_WAIT_S)
                queue.append(batch)
            elif error.status in _PASSED_ON:
                raise
            elif len(batch) == 1:
                (gathered.failed if error.status >= _SERVER_ERROR else gathered.refused).extend(batch)
            else:
                queue += [[text] for text in reversed(batch)]
        if pace.clock() - said >= _SAY_EVERY_S:
            said = pace.clock()
            pace.say(f"{what}: {len(gathered.scores)} of {len(texts)} texts, {end - said:.0f} s left")
    gathered.left = sum(map(len, queue))
    return gathered


def _take(gathered: Gathered, batch: Sequence[str], answered: Answered) -> None:
    gathered.scores.update(zip(batch, answered.scores, strict=True))
    for source, count in answered.sources.items():
        gathered.sources[source] = gathered.sources.get(source, 0) + count


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), BATCH):
        yield list(texts[start : start + BATCH])
