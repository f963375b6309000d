"""Limits how many opinions a minute one subject may send."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mlapi.errors import TooManyVotesError

_MAX_SUBJECTS: Final = 10_000
_MINUTE_S: Final = 60.0


class VotesLimit:
    """The generic cell rate algorithm (ITU-T I.371), with a burst of one minute's worth, for so many subjects at most.

    It is the process's own: with several, a subject gets as much from each. What a subject may weigh in a training set
    is bounded apart, where one is made.
    """

    def __init__(self, votes_per_minute: float, clock: Callable[[], float]) -> None:
        """Allow that many opinions a minute; 0: any number."""
        self._per_minute = votes_per_minute
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def check(self, subject: str, votes: int) -> None:
        """Count opinions of a subject. More than a minute's worth in one request are let through when it owes nothing.

        Raises:
            TooManyVotesError: the subject has sent too many; says when to come back.
        """
        if not self._per_minute:
            return
        now = self._clock()
        paid_until = max(now, self._paid_until.get(subject, now))
        cost = votes / self._per_minute * _MINUTE_S
        wait = paid_until - now - max(0.0, _MINUTE_S - cost)
        if wait > 0:
            msg = f"one subject may send {self._per_minute:g} opinions a minute"
            raise TooManyVotesError(msg, retry_after_s=max(1, math.ceil(wait)))
        self._paid_until[subject] = paid_until + cost
        self._paid_until.move_to_end(subject)
        if len(self._paid_until) > _MAX_SUBJECTS:
            self._paid_until.popitem(last=False)
