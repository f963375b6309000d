"""Decides at the door whether a request's work can be done in time."""

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

from mlapi.batching.drain_rate import TRUST_S, DrainRate
from mlapi.batching.fair_queue import PROMISED_SHARE, FairQueue, ItemT, Pace, Request
from mlapi.errors import BatchTooLargeError, DeadlineExceededError, OverloadedError
from mlapi.observability.metrics import ModelMetrics

Reason: TypeAlias = Literal["queue_full", "deadline"]
"""Why a request is sent away, as the metric tells it."""

MAX_RETRY_AFTER_S: Final = 60
"""No caller is sent away for longer, in seconds: the estimate is not good enough to promise more."""

DUE_SHARE: Final = 0.9
"""Share of the time until its deadline after which a request is due. The rest is for what no estimate knows."""

DOOR_SHARE: Final = 0.8
"""Share of the rate that is promised at the door. What the scheduler has beyond it is for requests that go out of turn,
so that batches are seldom cut short to keep a promise."""

LEAST_SMALL_SHARE: Final = 0.1
MOST_SMALL_SHARE: Final = 0.4
"""Shares of the rate that large requests leave to small ones, at least and at most. Between the two it is as much as
small ones took lately."""

FLOW_MEMORY_S: Final = 2.0
"""Seconds after which a small request counts for 1/e in what small ones took lately."""


class Admission:
    """Counts the tokens that wait for the model and bounds them by number and by deadline.

    All tokens are padded ones, as the arithmetic sees them. A text waits from its admission until its batch begins.

    A request is let in if all that waits and the request itself can be done by the times at which they are due, in the
    order of those times, at `DOOR_SHARE` of the rate. `FairQueue` keeps what is promised here. Large requests together
    may book less than all, so that small ones are let in beside them whatever their load is.

    An empty queue takes what fits the bound, unless the rate was measured just now and says otherwise; a lone text it
    takes always. What would be late by the rate that is only assumed then waits without a due time: if the assumption
    was wrong it is done in time by its turns, and if it was right nobody else is late for its sake.
    """

    def __init__(
        self,
        *,
        max_waiting_tokens: int,
        rate: float,
        clock: Callable[[], float],
        metrics: ModelMetrics,
        streams: int = 1,
    ) -> None:
        """Start empty.

        Args:
            max_waiting_tokens: the most padded tokens that may wait.
            rate: padded tokens a second to assume until there is a measurement; from the warm-up.
            clock: tells seconds, the same ones as the deadlines.
            metrics: where refusals and the number of waiting tokens are shown.
            streams: how many runs may be in flight.

        Raises:
            ValueError: a bound or a rate that is not positive.
        """
        if max_waiting_tokens < 1:
            msg = f"max_waiting_tokens={max_waiting_tokens} must be positive"
            raise ValueError(msg)
        self._max_waiting = max_waiting_tokens
        self._clock = clock
        self._streams = streams
        self._shed = metrics.shed
        # A series that begins with its first refusal hides it: a rate needs a sample from before.
        for reason in get_args(Reason):
            metrics.shed(reason)
        self._rate = DrainRate(rate, clock)
        self._waiting = 0
        self._running = 0
        self._running_batches = 0
        self._small_tokens = 0.0
        self._small_at = -math.inf
        metrics.queue_tokens.set_function(lambda: self._waiting)

    @property
    def waiting_tokens(self) -> int:
        """Padded tokens admitted whose batch has not begun."""
        return self._waiting

    @property
    def rate(self) -> float:
        """Padded tokens a second that the streams drain together, as far as is known."""
        return self._rate.value

    @property
    def pace(self) -> Pace:
        """How fast work drains, for whoever decides what goes next."""
        return Pace(self.rate, self._rate.trusted_s > 0, self._running / self.rate)

    def due(self, deadline: float) -> float:
        """Return when a request that comes now is due."""
        now = self._clock()
        return now + DUE_SHARE * (deadline - now)

    def check_open(self, tokens: int = 1) -> None:
        """Refuse, before anything is spent on it, a request of at least so many tokens that cannot be let in.

        Raises:
            BatchTooLargeError: the request alone exceeds the bound: it can never be let in.
            OverloadedError: too much is waiting.
        """
        if tokens > self._max_waiting:
            msg = f"the texts have {tokens} tokens, padding included; at most {self._max_waiting} are taken at once"
            raise BatchTooLargeError(msg)
        excess = self._waiting + tokens - self._max_waiting
        if excess > 0:
            raise self._refusal(excess, "queue_full")

    def admit(self, request: Request[ItemT], queue: FairQueue[ItemT], *, texts: int, wait_s: float = 0.0) -> None:
        """Let in a request, or say why not.

        Args:
            request: what asks to be let in; not queued yet.
            queue: where everything waits that was let in.
            texts: how many texts the request has.
            wait_s: seconds until another model makes room for the first batch.

        Raises:
            BatchTooLargeError: the request alone exceeds the bound: it can never be let in.
            OverloadedError: too much is waiting, or this request or one that waits would not be done in time.
            DeadlineExceededError: the deadline has passed.
        """
        tokens = request.tokens
        self.check_open(tokens)
        now = self._clock()
        if request.deadline <= now:
            self._shed("deadline").inc()
            msg = "the deadline passed before the texts could be queued"
            raise DeadlineExceededError(msg)
        # While the last batch runs on one stream, the others may have nothing to do.
        lead = self._running + (self._streams - 1) * min(tokens, queue.longest_batch(request))
        share = DOOR_SHARE - self._small_share(now) if queue.is_large(request) else 1.0 - PROMISED_SHARE
        rate = self.rate
        excess = queue.excess(request, now + wait_s + lead / rate, rate=DOOR_SHARE * rate, own_rate=share * rate)
        if excess > 0:
            if self._waiting or (texts > 1 and self._rate.trusted_s > 0):
                raise self._refusal(excess, "deadline")
            request.due = math.inf
        self._waiting += tokens
        if not queue.is_large(request):
            self._small_tokens = tokens + self._small_tokens * self._faded(now)
            self._small_at = now

    def withdrawn(self, tokens: int) -> None:
        """Note that so many waiting tokens will not be computed after all."""
        self._waiting -= tokens

    def given_up(self, tokens: int, deadline: float) -> OverloadedError:
        """Note that a request's last so many tokens cannot be done by its deadline any more, and return what to say."""
        self._waiting -= tokens
        return self._refusal(tokens - self.rate * (deadline - self._clock()), "deadline")

    def started(self, tokens: int) -> None:
        """Note that a batch of so many waiting tokens begins to run."""
        self._waiting -= tokens
        self._running += tokens
        self._running_batches += 1

    def finished(self, tokens: int, seconds: float | None) -> None:
        """Note that a batch ended, after so many seconds; `None` if it failed, which says nothing about the rate."""
        streams = self._running_batches
        self._running_batches -= 1
        self._running -= tokens
        if seconds is not None:
            # Each of the streams that are busy side by side accounts for its share of the wall time.
            self._rate.measured(tokens, seconds / streams, under_load=self._waiting > 0)

    def _faded(self, now: float) -> float:
        return math.exp((self._small_at - now) / FLOW_MEMORY_S)

    def _small_share(self, now: float) -> float:
        """Return the share of the rate that large requests leave to small ones."""
        taken = self._small_tokens * self._faded(now) / FLOW_MEMORY_S
        return min(max(taken / self.rate, LEAST_SMALL_SHARE), MOST_SMALL_SHARE)

    def _refusal(self, excess: float, reason: Reason) -> OverloadedError:
        """Count a refusal and say when to come again.

        That is when so many tokens too many have drained, or when nothing can be refused any more because the queue is
        empty and the last measurement old, if that is earlier.
        """
        self._shed(reason).inc()
        trusted_s = self._rate.trusted_s
        opens_s = TRUST_S
        if trusted_s:
            opens_s = (self._waiting + self._running) / self.rate + (TRUST_S if self._waiting else trusted_s)
        retry_after_s = max(1, math.ceil(min(excess / self.rate, opens_s, MAX_RETRY_AFTER_S)))
        return OverloadedError("more texts are waiting than can be scored in time", retry_after_s=retry_after_s)
