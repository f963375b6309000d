"""One kind of operation on Redis: whether it is tried, why it is not, and a line in the log when that changes."""

import logging
from typing import Final

from mlapi.redis_nodes.breaker import BreakerState, CircuitBreaker
from mlapi.redis_nodes.failures import Failure

# Looked up once: on Python 3.11 a member of an enumeration costs a microsecond each time it is named.
_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN

_logger = logging.getLogger(__name__)


class Circuit:
    """A breaker that knows why it is open.

    Attributes:
        allow: whether to try now; see `CircuitBreaker.allow`.
        failure: why the operation is not tried, or is only probed; None while it works, so also before the first.
    """

    def __init__(self, breaker: CircuitBreaker, *, stopped: str, resumed: str) -> None:
        """Start with the state of the breaker, which is closed.

        Args:
            breaker: decides whether the operation is tried.
            stopped: the log line for when it no longer is; the reason is appended.
            resumed: the log line for when it works again.
        """
        self._breaker = breaker
        self.allow = breaker.allow
        self._stopped = stopped
        self._resumed = resumed
        self.failure: Failure | None = None

    @property
    def open(self) -> bool:
        """Whether the operation is not to be tried, not even as a probe."""
        return self._breaker.state is _OPEN

    def succeeded(self, began: float) -> None:
        """Report an operation that worked, and when it began."""
        self._breaker.succeeded(began)
        if self.failure is not None and self._breaker.state is _CLOSED:
            self.failure = None
            _logger.info(self._resumed)

    def failed(self, began: float, failure: Failure) -> None:
        """Report an operation that failed, when it began, and why: a refusal is certain, silence is not."""
        self._breaker.failed(began, certain=failure.result == "refused")
        if self._breaker.state is _CLOSED:
            return
        if self.failure is None:
            _logger.warning("%s: %s", self._stopped, failure.detail)
        self.failure = failure
