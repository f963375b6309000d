"""Cuts many texts into requests, cuts anew what is too large, and keeps count of which text is which."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

from mlapi_client.answers import Prediction
from mlapi_client.errors import ApiError, InvalidRequestError, TooLargeError, api_error

Outcome: TypeAlias = Prediction | ApiError
"""What became of one text."""

_TOO_MANY_TEXTS: Final = "batch_too_large"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Texts that go together, and the number of the first among all."""

    first: int
    texts: Sequence[str]


class Cutter:
    """Takes chunks off the beginning of the texts, never more texts at a time than the service is known to take."""

    def __init__(self, texts: Iterable[str], size: int) -> None:
        """Begin.

        Raises:
            TypeError: it is a single text, whose characters are not meant.
            ValueError: the size is none.
        """
        if isinstance(texts, str):
            msg = "one text is classified by `classify`; this takes several"
            raise TypeError(msg)
        if size < 1:
            msg = f"a chunk has at least one text, not {size}"
            raise ValueError(msg)
        self._texts = iter(texts)
        self._size = size
        self._taken = 0

    def next(self) -> Chunk | None:
        """Return the next chunk; None after the last."""
        texts = list(islice(self._texts, self._size))
        first, self._taken = self._taken, self._taken + len(texts)
        return Chunk(first, texts) if texts else None

    def limit(self, size: int) -> None:
        """Cut no larger chunks from now on."""
        self._size = max(1, min(self._size, size))


Asking: TypeAlias = Generator[list[str], list[Prediction] | ApiError, list[Outcome]]
"""Yields the texts of a request, is sent its answer or refusal, and returns what became of each text."""


def ask(chunk: Chunk, cutter: Cutter, *, keep_errors: bool) -> Asking:
    """Ask for one chunk in as many requests as it takes.

    Raises:
        ApiError: a refusal that no smaller request would avoid; unless errors are kept and it is about single texts.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = deque([list(range(len(chunk.texts)))])
    while waiting:
        places = waiting.popleft()
        answer = yield [chunk.texts[place] for place in places]
        if not isinstance(answer, ApiError):
            outcomes.update(zip(places, answer, strict=True))
        elif isinstance(answer, TooLargeError) and len(places) > 1:
            if answer.code == _TOO_MANY_TEXTS:
                cutter.limit(len(places) // 2)
            middle = len(places) // 2
            waiting.extendleft((places[middle:], places[:middle]))
        else:
            refused = dict(_refused(answer, places, chunk.first))
            if not (keep_errors and refused):
                raise next(iter(refused.values()), answer)
            outcomes.update(refused)
            if rest := [place for place in places if place not in refused]:
                waiting.appendleft(rest)
    return [outcomes[place] for place in range(len(chunk.texts))]


def _refused(error: ApiError, places: Sequence[int], first: int) -> Iterator[tuple[int, ApiError]]:
    """Return the texts that a refusal is about, each with the refusal as it concerns that text alone."""
    if isinstance(error, TooLargeError):
        yield places[0], api_error(error.problem, first + places[0])
    if not isinstance(error, InvalidRequestError):
        return
    named = {violation.text for violation in error.violations if violation.text is not None}
    for number in sorted(named):
        if number < len(places):
            text = first + places[number]
            own = [replace(item, text=text) for item in error.violations if item.text == number]
            yield places[number], api_error(replace(error.problem, violations=tuple(own), detail=own[0].detail), text)
