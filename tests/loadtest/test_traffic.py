"""What a load test asks for: the same for the same seed, popular as Zipf's law says, new as often as wanted."""

import math
from collections import Counter
from itertools import accumulate
from statistics import linear_regression, median
from typing import Any

import pytest

from tests.loadtest.k6 import probe


def asked(requests: list[dict[str, Any]], *, hot: bool) -> list[str]:
    return [text for request in requests if request["hot"] is hot for text in request["texts"]]


def test_the_same_seed_asks_for_the_same_texts() -> None:
    first, again, other = (probe(seed=seed, count="300") for seed in ("7", "7", "8"))
    assert first == again
    assert first["hot"] != other["hot"]
    assert not set(asked(first["requests"], hot=False)) & set(asked(other["requests"], hot=False))


@pytest.mark.parametrize(
    ("cache_rate", "hot"), [("0", 0), ("0.2", 210), ("0.95", 960), ("0.99", 999), ("0.999", 999), ("1", 1000)]
)
def test_cache_rate_is_a_share_that_is_exceeded_by_one_request_in_a_hundred(cache_rate: str, hot: int) -> None:
    requests = probe(seed="7", count="1000", cache_rate=cache_rate)["requests"]
    assert sum(request["hot"] for request in requests) == hot


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_share_does_not_depend_on_how_long_the_run_is(seed: str) -> None:
    requests = probe(seed=seed, count="1000")["requests"]
    known = list(accumulate(int(request["hot"]) for request in requests))
    assert all(known[count - 1] / count > 0.95 for count in range(63, 1001))


def test_a_request_is_all_known_or_all_new_and_no_new_text_comes_twice() -> None:
    found = probe(seed="7", count="1000", cache_rate="0.5", texts="3")
    new = asked(found["requests"], hot=False)
    assert len(set(new)) == len(new) == 3 * 490
    assert set(asked(found["requests"], hot=True)) <= set(found["hot"])
    assert not set(new) & set(found["hot"])


def test_the_hot_set_is_popular_as_zipfs_law_says() -> None:
    found = probe(seed="7", count="5000", cache_rate="1")
    counts = Counter(asked(found["requests"], hot=True))
    assert len(set(found["hot"])) == 64
    slope, _ = linear_regression(
        [math.log(rank) for rank in range(1, 65)], [math.log(counts[text]) for text in found["hot"]]
    )
    assert slope == pytest.approx(-1, abs=0.15)
    first = 10_000 / sum(1 / rank for rank in range(1, 65))
    assert counts[found["hot"][0]] == pytest.approx(first, rel=0.15)


def test_texts_are_as_long_as_reviews_are() -> None:
    texts = asked(probe(seed="7", count="1000", cache_rate="0")["requests"], hot=False)
    words = [len(text.split()) for text in texts]
    assert 12 <= median(words) <= 20
    assert min(words) >= 4
    assert 100 < max(words) <= 330
    assert all(text.isascii() and text.isprintable() for text in texts)
