"""Decides at the door whether a request's work can be done in time, and learns how fast work drains."""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, NoReturn, TypeAlias, get_args

from mlapi.batching.fair_queue import Prospect
from mlapi.errors import BatchTooLargeError, DeadlineExceededError, OverloadedError
from mlapi.observability.metrics import Metrics

Reason: TypeAlias = Literal["queue_full", "deadline"]
"""Why a request is sent away, as the metric tells it."""

RATE_MEMORY_S: Final = 5.0
"""Seconds of work at full load after which an old measurement counts for 1/e."""

RATE_TRUST_S: Final = 60.0
"""Seconds for which a measurement alone may turn a request away from an empty queue."""

MAX_RETRY_AFTER_S: Final = 60
"""No caller is sent away for longer, in seconds: the estimate is not good enough to promise more."""

PLANNED_SHARE: Final = 0.8
"""The share of the time until a deadline that may be planned. The rest is for what no estimate knows: the batch that
runs, short requests that come later and go first, and a machine that is slower in a moment than it was."""


class Admission:
    """Counts the tokens that wait for the model and bounds them by number and by deadline.

    All tokens are padded ones, as the arithmetic sees them. A text waits from its admission until its batch begins.

    The drain rate is the padded tokens a second of all streams together. Only runs that end while others wait are
    measured: then every stream is busy and batches are as large as they get, whereas an idle server's lone short texts
    would make it look slow. An estimate that turned away everything would never be corrected, so an empty queue takes
    a lone text always, and any request that fits the bound when the rate was not measured within `RATE_TRUST_S`.
    """

    def __init__(self, *, max_waiting_tokens: int, rate: float, clock: Callable[[], float], metrics: Metrics) -> None:
        """Start empty.

        Args:
            max_waiting_tokens: the most padded tokens that may wait.
            rate: padded tokens a second to believe until there is a measurement; from the warm-up.
            clock: tells seconds, the same ones as the deadlines.
            metrics: where refusals and the number of waiting tokens are shown.

        Raises:
            ValueError: a bound or a rate that is not positive.
        """
        if max_waiting_tokens < 1 or not 0 < rate < math.inf:
            msg = f"max_waiting_tokens={max_waiting_tokens} and rate={rate} must be positive"
            raise ValueError(msg)
        self._max_waiting = max_waiting_tokens
        self._clock = clock
        self._shed = metrics.shed
        # A series that begins with its first refusal hides it: a rate needs a sample from before.
        for reason in get_args(Reason):
            metrics.shed.labels(reason)
        self._waiting = 0
        self._running_batches = 0
        self._recent_tokens = rate * RATE_MEMORY_S
        self._recent_seconds = RATE_MEMORY_S
        self._measured_at = -math.inf
        metrics.queue_tokens.set_function(lambda: self._waiting)

    @property
    def waiting_tokens(self) -> int:
        """Padded tokens admitted whose batch has not begun."""
        return self._waiting

    @property
    def rate(self) -> float:
        """Padded tokens a second that the streams drain together, as far as is known."""
        return self._recent_tokens / self._recent_seconds

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
            self._refuse("queue_full", excess / self.rate)

    def admit(self, tokens: int, deadline: float, *, texts: int, ahead: int, held_up: Sequence[Prospect] = ()) -> None:
        """Let in a request, or say why not.

        Args:
            tokens: padded tokens of its texts.
            deadline: when they must be scored.
            texts: how many they are.
            ahead: padded tokens of others that go before the last of them; not all that wait do (see `FairQueue`).
            held_up: requests that would be done later for its sake. They were promised to be done in time.

        Raises:
            BatchTooLargeError: the request alone exceeds the bound: it can never be let in.
            OverloadedError: too much is waiting, or this request or one before it would not be done by its deadline.
            DeadlineExceededError: the deadline has passed.
        """
        self.check_open(tokens)
        now = self._clock()
        if deadline <= now:
            self._shed.labels("deadline").inc()
            msg = "the deadline passed before the texts could be queued"
            raise DeadlineExceededError(msg)
        late_s = self._late_s(ahead + tokens, deadline - now)
        for other in held_up:
            # Who will be late anyway is no reason to send anyone away.
            if self._late_s(other.tokens, other.deadline - now) <= 0:
                late_s = max(late_s, self._late_s(other.with_another, other.deadline - now))
        if late_s > 0 and not self._gives_benefit_of_doubt(texts, now):
            self._refuse("deadline", late_s)
        self._waiting += tokens

    def withdrawn(self, tokens: int) -> None:
        """Note that so many waiting tokens will not be computed after all."""
        self._waiting -= tokens

    def started(self, tokens: int) -> None:
        """Note that a batch of so many waiting tokens begins to run."""
        self._waiting -= tokens
        self._running_batches += 1

    def finished(self, tokens: int, seconds: float | None) -> None:
        """Note that a batch ended, after so many seconds; `None` if it failed, which says nothing about the rate."""
        streams = self._running_batches
        self._running_batches -= 1
        if seconds is None or self._waiting == 0:
            return
        # Each of the streams that are busy side by side accounts for its share of the wall time.
        share = seconds / streams
        decay = math.exp(-share / RATE_MEMORY_S)
        self._recent_tokens = self._recent_tokens * decay + tokens
        self._recent_seconds = self._recent_seconds * decay + share
        self._measured_at = self._clock()

    def _late_s(self, tokens: int, left_s: float) -> float:
        """Return by how many seconds more than planned so many tokens take."""
        return tokens / self.rate - left_s * PLANNED_SHARE

    def _gives_benefit_of_doubt(self, texts: int, now: float) -> bool:
        return self._waiting == 0 and (texts == 1 or now - self._measured_at > RATE_TRUST_S)

    def _refuse(self, reason: Reason, seconds: float) -> NoReturn:
        """Send a request away until, `seconds` from now, enough will have drained."""
        self._shed.labels(reason).inc()
        retry_after_s = math.ceil(min(seconds, MAX_RETRY_AFTER_S))
        msg = "more texts are waiting than can be scored in time"
        raise OverloadedError(msg, retry_after_s=retry_after_s)
