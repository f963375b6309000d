"""A circuit breaker: stops asking a server that fails, and finds out when it is back.

Closed, every operation is allowed; `threshold` failures in a row open it. Open, none is, until a back-off has passed;
then it is half-open and lets one probe through, whose outcome closes it, or opens it again for twice as long, up to a
bound (M. Nygard, *Release It!*, 2nd ed., "Circuit Breaker"). The back-off is jittered: a fleet does not return in step.

Outcomes carry the time at which their operation began, and count only if that was not before the last failure that
counted, or the probe: the many operations that one stall fails together are one failure, and an answer asked for before
the circuit opened says nothing about the probe.

A circuit that opens again soon after it closed goes on with its back-off where it was. A server that works now and then
(a full Redis whose entries expire one by one) would otherwise open and close it several times a second, for hours.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final


class BreakerState(Enum):
    """The states, with the numbers that the gauge shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


# Looked up once: on Python 3.11 a member of an enumeration costs a microsecond each time it is named.
_CLOSED: Final = BreakerState.CLOSED
_HALF_OPEN: Final = BreakerState.HALF_OPEN
_OPEN: Final = BreakerState.OPEN


class CircuitBreaker:
    """Decides whether a failing server is asked; pure, with no timer of its own."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        on_change: Callable[[BreakerState], None],
        threshold: int = 5,
        backoff_s: float = 0.5,
        max_backoff_s: float = 15.0,
    ) -> None:
        """Start closed.

        Args:
            clock: monotonic time in seconds.
            jitter: uniform random numbers in [0, 1); a back-off lasts between half and all of its nominal time.
            on_change: told the state at the start and after each change.
            threshold: how many failures in a row open the circuit.
            backoff_s: nominal time before the first probe, in seconds; doubles with each probe that fails.
            max_backoff_s: where the doubling ends; after so long closed, it begins with `backoff_s` again.
        """
        self._clock = clock
        self._jitter = jitter
        self._on_change = on_change
        self._threshold = threshold
        self._first_backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._backoff_s = backoff_s
        self._steady_from = float("-inf")
        self._failures = 0
        self._epoch = float("-inf")
        self._retry_at = 0.0
        self._enter(_CLOSED)

    @property
    def state(self) -> BreakerState:
        """The state now; an open circuit whose back-off has passed stays open until someone asks."""
        return self._state

    def allow(self) -> bool:
        """Whether to go ahead; a probe whose outcome nobody reports is replaced after another back-off."""
        if self._state is _CLOSED:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._epoch = now
        self._retry_at = now + self._backoff_s
        self._enter(_HALF_OPEN)
        return True

    def succeeded(self, began: float) -> None:
        """Report an operation that worked, and when it began."""
        if began < self._epoch or self._state is _OPEN:
            return
        self._failures = 0
        if self._state is _HALF_OPEN:
            self._steady_from = self._clock() + self._max_backoff_s
            self._enter(_CLOSED)

    def failed(self, began: float, *, certain: bool = False) -> None:
        """Report an operation that failed or took too long, and when it began.

        A `certain` failure opens the circuit by itself: the server said no, so the next operation would fail as well.
        """
        if began < self._epoch or self._state is _OPEN:
            return
        self._epoch = self._clock()
        self._failures += 1
        if self._state is _CLOSED and self._failures < self._threshold and not certain:
            return
        if self._state is _HALF_OPEN or self._epoch < self._steady_from:
            self._backoff_s = min(self._backoff_s * 2, self._max_backoff_s)
        else:
            self._backoff_s = self._first_backoff_s
        self._retry_at = self._epoch + self._backoff_s * (0.5 + 0.5 * self._jitter())
        self._enter(_OPEN)

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._on_change(state)
