"""How many texts a key may ask for: a rate with a burst (GCRA), and a number for each day.

The generic cell rate algorithm (ITU-T I.371) keeps one number, the time at which all that was spent will have been paid
for. A burst may run ahead of it. Here it is pure, for one process; `shared_quota` has the same in Redis.
"""

import math
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import msgspec

DAY_S: Final = 86_400

RATE: Final = "burst"
DAILY: Final = "daily"
"""The names of the policies in `RateLimit` and `RateLimit-Policy`."""

_Amount = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the keys file says of a quota. Texts are counted, not requests.

    Attributes:
        texts_per_second: on average; None: no limit.
        burst: how many may come together; by default what a second gives. A larger request needs the whole burst.
        texts_per_day: from midnight to midnight, UTC; None: no limit.
        cost_hit: what a text costs that the cache knows, a share of one that it does not.
    """

    texts_per_second: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    burst: _Amount | None = None
    texts_per_day: _Amount | None = None
    cost_hit: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: nothing is limited, or a burst is given without a rate.
        """
        if self.texts_per_second is None and self.texts_per_day is None:
            msg = "a quota limits texts_per_second, texts_per_day or both"
            raise ValueError(msg)
        if self.burst is not None and self.texts_per_second is None:
            msg = "burst belongs to texts_per_second"
            raise ValueError(msg)

    @property
    def rate(self) -> float:
        """Texts a second; 0: no limit."""
        return self.texts_per_second or 0.0

    @property
    def room(self) -> float:
        """How many texts may come together, after a pause."""
        return float(self.burst or math.ceil(self.rate))

    @property
    def per_day(self) -> int:
        """Texts a day; 0: no limit."""
        return self.texts_per_day or 0

    @property
    def policies(self) -> str:
        """The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11)."""
        window = math.ceil(self.room / self.rate) if self.rate else 0
        rate = [f'"{RATE}";q={self.room:.0f};w={max(1, window)}'] if self.rate else []
        return ", ".join(rate + ([f'"{DAILY}";q={self.per_day};w={DAY_S}'] if self.per_day else []))


class Verdict(NamedTuple):
    """What came of a charge.

    Attributes:
        granted: how many texts were charged, at least those that were needed; 0: refused.
        wait_s: seconds after which the same may be granted; 0: now.
        policy: which one refused, or is nearest to it.
        left: how many texts that policy still has.
    """

    granted: float
    wait_s: float = 0.0
    policy: str = ""
    left: float = 0.0


class Meter:
    """One process's own count of one quota."""

    def __init__(self, quota: Quota, now: Callable[[], float]) -> None:
        """Begin with nothing spent; `now` tells seconds since the epoch."""
        self._quota = quota
        self._now = now
        self._paid_at = 0.0
        self._day = -1
        self._used = 0.0

    def charge(self, texts: float) -> Verdict:
        """Charge some texts, all or none; a negative number gives some back."""
        now, quota = self._now(), self._quota
        if (day := int(now // DAY_S)) != self._day:
            self._day, self._used = day, 0.0
        paid_at = max(now, self._paid_at)
        if texts > 0:
            if quota.per_day and self._used + texts > quota.per_day:
                return Verdict(0.0, (day + 1) * DAY_S - now, DAILY, max(0.0, quota.per_day - self._used))
            if quota.rate:
                owed = paid_at - now
                wait = owed if texts > quota.room else owed + (texts - quota.room) / quota.rate
                if wait > _ROUNDING_S:
                    return Verdict(0.0, wait, RATE, max(0.0, quota.room - owed * quota.rate))
        self._used = max(0.0, self._used + texts)
        if quota.rate:
            self._paid_at = paid_at + texts / quota.rate
        return Verdict(texts)


_ROUNDING_S: Final = 1e-6
"""Times since the epoch are that fine in a float, and Redis tells no finer ones."""
