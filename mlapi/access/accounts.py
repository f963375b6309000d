"""What each key has spent, and whether it may spend more.

Where quotas are shared through Redis, a process pays for more than it needs when a key is busy, a tenth of a second's
worth at most, so that known texts are answered without waiting for Redis. What is not spent goes back.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Final

from mlapi.access.keyring import Grant
from mlapi.access.quota import Meter, Quota, Verdict
from mlapi.access.shared_quota import Charge, SharedQuota
from mlapi.errors import QuotaExceededError
from mlapi.observability.metrics import Metrics

_AHEAD_S: Final = 0.1
_SETTLE_S: Final = 1.0
MAX_SERIES: Final = 1_000
_OTHER: Final = "other"


class Account:
    """One key's.

    Attributes:
        key_id: whose.
        quota: what it may spend; None: as much as it likes.
        answered: counts its texts.
        refused: counts those that its quota refused.
        paid: texts that are paid for and not spent.
        hit_cost: what a known text costs.
        most_ahead: how many texts to pay for in advance at most.
        meter: the process's own count, for when there is no other.
    """

    __slots__ = (
        "answered",
        "asking",
        "hit_cost",
        "key_id",
        "meter",
        "most_ahead",
        "paid",
        "quota",
        "refused",
        "spent",
        "turned_away",
    )

    def __init__(
        self, key_id: str, label: str, quota: Quota | None, metrics: Metrics, now: Callable[[], float]
    ) -> None:
        self.key_id = key_id
        self.quota = quota
        self.answered = metrics.key_texts.labels(label, "answered")
        self.refused = metrics.key_texts.labels(label, "refused")
        self.hit_cost = quota.cost_hit if quota else 0.0
        self.meter = Meter(quota, now) if quota else None
        self.most_ahead = quota.rate * _AHEAD_S if quota else 0.0
        self.paid = 0.0
        self.spent = 0.0
        self.asking = False
        self.turned_away: tuple[float, float, Verdict] = (0.0, math.inf, Verdict(0.0))


class Accounts:
    """All keys'.

    Attributes:
        shared: counts for all processes; None: each counts for itself.
    """

    def __init__(self, metrics: Metrics, *, now: Callable[[], float]) -> None:
        """Start without accounts, and count in this process alone; `now` tells seconds since 1970-01-01 UTC."""
        self._metrics = metrics
        self.shared: SharedQuota | None = None
        self._now = now
        self._accounts: dict[str, Account] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks = {by: metrics.quota_charges.labels(by) for by in ("shared", "local")}

    def of(self, grant: Grant) -> Account:
        """Return a key's account; a quota that changed begins anew."""
        account = self._accounts.get(grant.id)
        if account is None or account.quota != grant.quota:
            known = account is not None or len(self._accounts) < MAX_SERIES
            account = Account(grant.id, grant.id if known else _OTHER, grant.quota, self._metrics, self._now)
            self._accounts[grant.id] = account
        return account

    def keep(self, ids: AbstractSet[str]) -> None:
        """Forget all keys but these, and what was counted for them."""
        for key_id in self._accounts.keys() - ids:
            del self._accounts[key_id]
        series = self._metrics.key_texts.labels.series
        for values in [values for values in series if values[0] not in ids and values[0] != _OTHER]:
            del series[values]

    def spend(self, account: Account, texts: int) -> bool:
        """Charge known texts, if that can be done without waiting; False: `charge` must see to it."""
        if account.quota is None:
            return True
        cost = texts * account.hit_cost
        if self.shared is None:
            return _allowed(account, cost)
        if self._draw(account, cost):
            return True
        if self.shared.away:
            self._checks["local"].inc()
            return _allowed(account, cost)
        return False

    def unspend(self, account: Account, texts: int) -> None:
        """Give back what `spend` charged."""
        self.give_back(account, texts * account.hit_cost)

    async def charge(self, account: Account, texts: int) -> None:
        """Charge texts before they are answered, as if none of them were known.

        Raises:
            QuotaExceededError: the key has spent too much; nothing was charged.
        """
        quota = account.quota
        if quota is None or self._draw(account, texts):
            return
        verdict = await self._pay(account, texts)
        if not verdict.granted:
            account.refused.value += texts
            raise _exceeded(quota, verdict)
        account.spent += texts

    def settle(self, account: Account, texts: int, known: int) -> None:
        """Take note that texts were answered, and give back what those cost less that the cache knew."""
        account.answered.value += texts
        self.give_back(account, known * (1 - account.hit_cost))

    def take_back(self, grant: Grant, texts: int, known: int) -> None:
        """Undo what `charge` and `settle` did for texts that are refused after all."""
        account = self.of(grant)
        account.answered.value -= texts
        self.give_back(account, texts - known * (1 - account.hit_cost))

    def give_back(self, account: Account, texts: float) -> None:
        """Give back what was charged."""
        if account.quota is None or not texts:
            return
        if self.shared is None and account.meter is not None:
            account.meter.charge(-texts)
        else:
            account.paid += texts

    async def look_after(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Give back, for ever, what keys that are not busy any more have paid and not spent."""
        while True:
            await sleep(_SETTLE_S)
            if self.shared is not None and self.shared.away:
                await self._probe(self.shared)
            for account in [*self._accounts.values()]:
                if account.paid and not account.spent and not account.asking:
                    await self._return(account)
                account.spent = 0.0

    async def close(self) -> None:
        """Give everything back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for account in self._accounts.values():
            if account.paid:
                await self._return(account)
        if self.shared is not None:
            await self.shared.close()

    async def _probe(self, shared: SharedQuota) -> None:
        """Ask whether Redis is back: charges that need no wait do not."""
        for account in self._accounts.values():
            if account.quota is not None:
                await shared.charge(Charge(account.key_id, account.quota, 0.0))
                return

    def _draw(self, account: Account, cost: float) -> bool:
        """Take from what is paid for, if it is enough; pay for more in time if this goes on."""
        if account.paid < cost:
            return False
        account.paid -= cost
        account.spent += cost
        # `_ahead`, written out: for a known text this is a good part of what its quota costs.
        if not account.asking and account.paid * 2 < account.spent and account.paid * 2 < account.most_ahead:
            account.asking = True
            task = asyncio.create_task(self._pay_ahead(account))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    @staticmethod
    def _ahead(account: Account) -> float:
        """How much to pay for in advance: what was spent of late, and a tenth of a second's worth at most."""
        return min(account.spent, account.most_ahead)

    async def _pay_ahead(self, account: Account) -> None:
        try:
            if account.quota is not None and self.shared is not None and (ahead := self._ahead(account)) >= 1:
                verdict = await self.shared.charge(Charge(account.key_id, account.quota, ahead))
                account.paid += verdict.granted if verdict else 0.0
        finally:
            account.asking = False

    async def _pay(self, account: Account, texts: float) -> Verdict:
        """Charge in Redis, or in this process where that does not answer."""
        quota, meter = account.quota, account.meter
        if quota is None or meter is None:
            return Verdict(texts)
        verdict = None
        if self.shared is not None:
            until, least, said = account.turned_away
            if texts >= least and (wait := until - self._now()) > 0:
                # Redis said so, and would say it again.
                return said._replace(wait_s=wait)
            verdict = await self.shared.charge(Charge(account.key_id, quota, texts, self._ahead(account)))
        if verdict is None:
            if self.shared is not None:
                self._checks["local"].inc()
            return meter.charge(texts)
        self._checks["shared"].inc()
        if verdict.granted:
            account.paid += verdict.granted - texts
        else:
            account.turned_away = (self._now() + verdict.wait_s, texts, verdict)
        return verdict

    async def _return(self, account: Account) -> None:
        back, account.paid = account.paid, 0.0
        if account.quota is not None and self.shared is not None:
            await self.shared.charge(Charge(account.key_id, account.quota, -back))


def _allowed(account: Account, cost: float) -> bool:
    return account.meter is None or not cost or bool(account.meter.charge(cost).granted)


def _exceeded(quota: Quota, verdict: Verdict) -> QuotaExceededError:
    wait_s = max(1, math.ceil(verdict.wait_s))
    detail = (
        f"the API key may ask for {quota.per_day} texts a day"
        if verdict.policy == "daily"
        else f"the API key may ask for {quota.rate:g} texts per second"
    )
    return QuotaExceededError(
        detail,
        retry_after_s=wait_s,
        policies=[verdict.policy],
        headers=[
            ("ratelimit-policy", quota.policies),
            ("ratelimit", f'"{verdict.policy}";r={math.floor(verdict.left)};t={wait_s}'),
        ],
    )
