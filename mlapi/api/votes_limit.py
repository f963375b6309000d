"""Limits how many opinions a minute one subject may send."""

from collections.abc import Callable
from typing import Final

from mlapi.api.cell_rate import CellRate
from mlapi.errors import TooManyVotesError

_MINUTE_S: Final = 60.0


class VotesLimit:
    """So many opinions a minute for each subject, with a burst of one minute's worth.

    It is the process's own: with several, a subject gets as much from each. What a subject may weigh in a training set
    is bounded apart, where one is made.
    """

    def __init__(self, votes_per_minute: float, clock: Callable[[], float]) -> None:
        """Allow that many opinions a minute; 0: any number."""
        self._per_minute = votes_per_minute
        self._rate = (
            CellRate(votes_per_minute / _MINUTE_S, burst_s=_MINUTE_S, clock=clock) if votes_per_minute else None
        )

    def check(self, subject: str, votes: int) -> None:
        """Count opinions of a subject; see `CellRate.wait_s`.

        Raises:
            TooManyVotesError: the subject has sent too many; says when to come back.
        """
        if self._rate is not None and (wait_s := self._rate.wait_s(subject, votes)):
            msg = f"one subject may send {self._per_minute:g} opinions a minute"
            raise TooManyVotesError(msg, retry_after_s=wait_s)
