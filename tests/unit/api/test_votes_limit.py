"""A subject may send a minute's worth of opinions together, then as many a minute as was set; others do not matter."""

import pytest

from mlapi.api.votes_limit import VotesLimit
from mlapi.errors import TooManyVotesError


def test_a_minutes_worth_passes_together_and_then_one_in_its_share_of_a_minute() -> None:
    now = 1000.0
    limit = VotesLimit(6, lambda: now)
    for _ in range(6):
        limit.check("alice", 1)
    with pytest.raises(TooManyVotesError, match="one subject may send 6 opinions a minute") as raised:
        limit.check("alice", 1)
    assert raised.value.retry_after_s == 10
    limit.check("bob", 6)
    now += 10
    limit.check("alice", 1)
    with pytest.raises(TooManyVotesError):
        limit.check("alice", 1)


def test_zero_is_no_limit() -> None:
    limit = VotesLimit(0, lambda: 1000.0)
    for _ in range(1000):
        limit.check("alice", 1000)
