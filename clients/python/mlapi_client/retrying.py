"""Decides whether a failed request is sent again, and when: within a deadline, and within a budget for all requests."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlapi_client.errors import ApiError, MlapiError, TimedOutError

_MOMENT_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Retrying:
    """How patient a client is. All requests are safe to repeat: a classification changes nothing.

    Attributes:
        timeout_s: seconds that one attempt may take to connect, to send, and between two parts of its answer.
        deadline_s: seconds for one request with all its attempts and the pauses between them.
        first_pause_s: longest pause before the second attempt; it doubles with each further one.
        longest_pause_s: where that ends. A `Retry-After` of the service is obeyed instead, however long.
        budget: how many requests may be repeated, as a share of all: in an outage, clients that repeat everything keep
            the service down.
        reserve: repetitions that are free at the start, and the most that are saved up.
    """

    timeout_s: float = 10.0
    deadline_s: float = 30.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
    budget: float = 0.1
    reserve: float = 10.0

    def __post_init__(self) -> None:
        positive = (self.timeout_s, self.deadline_s, self.first_pause_s, self.longest_pause_s)
        # Written so that it refuses NaN, too.
        if not all(value > 0 for value in positive) or not (self.budget >= 0 and self.reserve >= 0):
            msg = f"times must be positive, shares and reserves not negative: {self}"
            raise ValueError(msg)


class Budget:
    """Counts requests and repetitions of one client; for threads to share."""

    def __init__(self, retrying: Retrying) -> None:
        self._share = retrying.budget
        self._most = retrying.reserve
        self._left = retrying.reserve
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a request."""
        with self._lock:
            self._left = min(self._most, self._left + self._share)

    def spend(self) -> bool:
        """Take one repetition; tell whether there was one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Attempts:
    """The attempts at one request."""

    def __init__(
        self, retrying: Retrying, budget: Budget, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        """Start counting; `clock` returns seconds, `random` a number from 0 to 1."""
        self._retrying = retrying
        self._budget = budget
        self._clock = clock
        self._random = random
        self._ends = clock() + retrying.deadline_s
        self._failed = 0
        budget.earn()

    @property
    def timeout_s(self) -> float:
        """Seconds that the next attempt has: a moment at least, for what a negative time would mean to a socket."""
        return max(_MOMENT_S, min(self._retrying.timeout_s, self._left_s))

    def check_time(self) -> None:
        """Stop an attempt whose answer comes in small pieces.

        Raises:
            TimedOutError: the deadline has passed.
        """
        if self._left_s <= 0:
            msg = f"the answer was not complete in {self._retrying.deadline_s:g} s"
            raise TimedOutError(msg)

    def pause_after(self, error: MlapiError) -> float:
        """Return for how many seconds to pause before the next attempt.

        Raises:
            MlapiError: the error itself: there is no next attempt, and a note in it says why if it was retryable.
        """
        if not error.retryable:
            raise error
        self._failed += 1
        pause_s = self._pause_s(error)
        if pause_s >= self._left_s:
            error.add_note(f"gave up after {self._failed} attempts: the next would be too late for the deadline")
            raise error
        if not self._budget.spend():
            error.add_note(f"gave up after {self._failed} attempts: too many requests were repeated of late")
            raise error
        return pause_s

    @property
    def _left_s(self) -> float:
        return self._ends - self._clock()

    def _pause_s(self, error: MlapiError) -> float:
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        if asked_s is not None:
            # Clients that were refused together must not come back together.
            return asked_s + self._random() * self._retrying.first_pause_s
        longest: float = self._retrying.first_pause_s * 2 ** min(self._failed - 1, 30)
        return self._random() * min(longest, self._retrying.longest_pause_s)
