"""Quotas let in as much as they say and no more, whatever is asked for when; Redis decides as a process does."""

import asyncio
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from mlapi.access.quota import DAILY, DAY_S, RATE, Meter, Quota
from mlapi.access.shared_quota import Charge, SharedQuota
from mlapi.observability.metrics import Metrics
from mlapi.redis_nodes.breaker import CircuitBreaker
from mlapi.redis_nodes.circuit import Circuit
from tests.stores import redis_nodes
from tools.private_redis import PrivateRedis

START = 1_790_000_000.0
QUOTAS = st.builds(
    Quota,
    texts_per_second=st.floats(0.5, 1_000),
    burst=st.none() | st.integers(1, 500),
    texts_per_day=st.none() | st.integers(1, 5_000),
)
STEPS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 200)), max_size=60)


class Clock:
    """Seconds since the epoch, as long as a test wants."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


@given(QUOTAS, STEPS)
def test_in_no_window_more_is_let_in_than_burst_and_rate_allow(quota: Quota, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    meter, granted = Meter(quota, clock), []
    for pause, texts in steps:
        clock.time += pause
        verdict = meter.charge(texts)
        assert verdict.granted in {0, texts}
        assert (verdict.granted > 0) == (verdict.policy == "")
        if verdict.granted:
            granted.append((clock.time, texts))
    for first, last in itertools.combinations_with_replacement(range(len(granted)), 2):
        window = granted[last][0] - granted[first][0]
        within = sum(texts for _, texts in granted[first : last + 1])
        # One request that is larger than the burst is let in where nothing is owed.
        largest = max(texts for _, texts in granted[first : last + 1])
        assert within <= max(quota.room, largest) + window * quota.rate + 0.01 * len(granted)


@given(QUOTAS, STEPS)
def test_who_waits_as_long_as_told_is_let_in_and_who_waits_less_is_not(
    quota: Quota, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    meter = Meter(quota, clock)
    for pause, texts in steps:
        clock.time += pause
        verdict = meter.charge(texts)
        if verdict.granted or (quota.per_day and texts > quota.per_day):
            continue
        if verdict.wait_s > 0.01:
            clock.time += verdict.wait_s * 0.99 - 0.001
            assert not meter.charge(texts).granted
            clock.time += verdict.wait_s * 0.01 + 0.001
        else:
            clock.time += verdict.wait_s
        clock.time += 2e-6 * max(1.0, verdict.wait_s)
        again = meter.charge(texts)
        assert again.granted == texts or again.policy != verdict.policy


@given(QUOTAS, STEPS)
def test_a_day_lets_in_what_it_may_and_the_next_begins_anew(quota: Quota, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    meter, days = Meter(quota, clock), dict[int, float]()
    for pause, texts in steps:
        clock.time += 3_600 * pause
        day = int(clock.time // DAY_S)
        days[day] = days.get(day, 0.0) + meter.charge(texts).granted
    if quota.per_day:
        assert all(used <= quota.per_day for used in days.values())


@given(QUOTAS, st.integers(1, 200))
def test_what_is_given_back_can_be_spent_again(quota: Quota, texts: int) -> None:
    clock = Clock()
    meter = Meter(quota, clock)
    before = meter.charge(texts)
    if before.granted:
        meter.charge(-texts)
        assert meter.charge(texts) == before


class OwnSharedQuota(SharedQuota):
    """One that is the only one of its Redis."""

    async def close(self) -> None:
        """Close the connections with it."""
        await super().close()
        await self._nodes.close()


def shared(url: str) -> SharedQuota:
    breaker = CircuitBreaker(clock=lambda: 0.0, jitter=lambda: 0.0, on_change=lambda _: None)
    circuit = Circuit(breaker, stopped="stopped", resumed="resumed")
    nodes = redis_nodes(url, Metrics(), timeout_s=5.0)
    return OwnSharedQuota(nodes, circuit, clock=lambda: 0.0, timeout_s=10.0)


def test_redis_decides_as_a_process_does(redis_server: PrivateRedis) -> None:
    """The clock of Redis cannot be set: a script that reads the time from a key stands in its place."""
    from mlapi.access import shared_quota  # noqa: PLC0415  to be changed

    timed = shared_quota._SCRIPT.replace(b"redis.call('TIME')", b"{redis.call('GET', 'test:now'), '0'}")
    assert timed != shared_quota._SCRIPT
    client: Any = Redis.from_url(redis_server.url)
    script = client.register_script(timed)

    @settings(max_examples=40, deadline=None)
    @given(QUOTAS, STEPS)
    def agree(quota: Quota, steps: list[tuple[float, int]]) -> None:
        client.flushall()
        clock = Clock()
        meter = Meter(quota, clock)
        for pause, texts in steps:
            clock.time = round(clock.time + pause, 6)
            client.set("test:now", f"{clock.time:.6f}")
            said = script(keys=["mlapi:quota:test"], args=[texts, 0, quota.rate, quota.room, quota.per_day])
            verdict = meter.charge(texts)
            assert float(said[0]) == verdict.granted
            assert said[2].decode() == verdict.policy
            assert abs(float(said[1]) - verdict.wait_s) < 1e-3 + 1e-9 * verdict.wait_s
            assert abs(float(said[3]) - verdict.left) < 0.1

    agree()
    client.close()


async def test_many_charges_travel_together_and_redis_forgets_nothing_but_in_time(redis_server: PrivateRedis) -> None:
    quotas = shared(redis_server.url)
    quota = Quota(texts_per_second=1.0, burst=50, texts_per_day=1_000)
    verdicts = await asyncio.gather(*(quotas.charge(Charge("k3f9a1c2", quota, 10)) for _ in range(8)))
    assert [verdict.granted for verdict in verdicts if verdict] == [10] * 5 + [0] * 3
    refused = verdicts[-1]
    assert refused is not None
    assert (refused.policy, 9 < refused.wait_s <= 10) == (RATE, True)
    ahead = await quotas.charge(Charge("aaaaaaaa", quota, 10, more=1_000))
    assert ahead is not None
    assert ahead.granted == 50
    daily = await quotas.charge(Charge("bbbbbbbb", Quota(texts_per_day=5), 6))
    assert daily is not None
    assert (daily.granted, daily.policy, daily.left, 0 < daily.wait_s <= DAY_S) == (0, DAILY, 5, True)
    with Redis.from_url(redis_server.url) as client:
        assert 0 < client.ttl("mlapi:quota:k3f9a1c2") <= DAY_S + 1
        client.script_flush()
    # The script is gone, and sent again.
    again = await quotas.charge(Charge("cccccccc", quota, 10))
    assert again is not None
    assert again.granted == 10
    await quotas.close()
