"""One client cannot take everybody's share."""

import pytest

from mlapi.api.client_limit import ClientLimit
from mlapi.errors import RateLimitedError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_of_one_second_passes_and_the_next_text_waits() -> None:
    clock = Clock()
    limit = ClientLimit(10, clock)
    for _ in range(10):
        limit.check("a", 1)
    with pytest.raises(RateLimitedError) as refused:
        limit.check("a", 1)
    assert refused.value.retry_after_s == 1
    limit.check("b", 10)
    clock.now += 0.1
    limit.check("a", 1)


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    limit = ClientLimit(10, clock)
    limit.check("a", 10)
    for _ in range(100):
        with pytest.raises(RateLimitedError):
            limit.check("a", 5)
    clock.now += 0.5
    limit.check("a", 5)


def test_a_request_larger_than_the_burst_passes_when_nothing_is_owed_and_is_paid_for_afterwards() -> None:
    clock = Clock()
    limit = ClientLimit(10, clock)
    limit.check("a", 50)
    with pytest.raises(RateLimitedError) as refused:
        limit.check("a", 50)
    assert refused.value.retry_after_s == 5
    clock.now += 5
    limit.check("a", 50)


def test_the_rate_holds_over_time() -> None:
    clock = Clock()
    limit = ClientLimit(10, clock)
    passed = 0
    for _ in range(1000):
        clock.now += 0.01
        try:
            limit.check("a", 1)
        except RateLimitedError:
            continue
        passed += 1
    assert 100 <= passed <= 111


def test_no_limit_is_inactive() -> None:
    assert not ClientLimit(0, Clock()).active
    assert ClientLimit(1, Clock()).active
