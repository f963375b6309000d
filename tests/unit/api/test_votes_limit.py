"""A subject may send a minute's worth of opinions together, then as many a minute as was set; others do not matter."""

import pytest

from mlapi.api.votes_limit import VotesLimit
from mlapi.errors import TooManyVotesError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_is_let_through_and_then_one_in_its_share_of_a_minute() -> None:
    clock = Clock()
    limit = VotesLimit(6, clock)
    for _ in range(6):
        limit.check("alice", 1)
    with pytest.raises(TooManyVotesError) as raised:
        limit.check("alice", 1)
    assert raised.value.retry_after_s == 10
    limit.check("bob", 6)
    clock.now += 10
    limit.check("alice", 1)
    with pytest.raises(TooManyVotesError):
        limit.check("alice", 1)


def test_a_long_list_is_let_through_when_nothing_is_owed_and_paid_for_afterwards() -> None:
    clock = Clock()
    limit = VotesLimit(6, clock)
    limit.check("alice", 60)
    clock.now += 9 * 60
    with pytest.raises(TooManyVotesError) as raised:
        limit.check("alice", 6)
    assert raised.value.retry_after_s == 60
    clock.now += 60
    limit.check("alice", 6)


def test_zero_is_no_limit() -> None:
    limit = VotesLimit(0, Clock())
    for _ in range(1000):
        limit.check("alice", 1000)
