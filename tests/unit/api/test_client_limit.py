"""One client cannot take everybody's share."""

import pytest

from mlapi.api.client_limit import ClientLimit
from mlapi.errors import RateLimitedError


def test_a_seconds_worth_passes_together_and_a_refusal_says_when_to_come_back() -> None:
    limit = ClientLimit(10, lambda: 100.0)
    limit.check("a", 50)
    with pytest.raises(RateLimitedError, match="one client may send 10 texts per second") as refused:
        limit.check("a", 10)
    assert refused.value.retry_after_s == 5
    limit.check("b", 10)


def test_no_limit_is_inactive() -> None:
    assert not ClientLimit(0, lambda: 100.0).active
    assert ClientLimit(1, lambda: 100.0).active
