"""The sample of hot texts: what it keeps, what it forgets, and how much memory it takes."""

import tracemalloc
from itertools import cycle

from mlapi.cache.hot_texts import ENTRY_BYTES, HALF_LIFE_S, HotTexts


class Clock:
    """Tells the time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sample(max_bytes: int = 1_000_000, clock: Clock | None = None) -> HotTexts:
    return HotTexts(max_bytes, clock or Clock(), lambda: 0.0)


def test_the_most_frequent_come_first_and_no_more_than_asked_for() -> None:
    hot = sample()
    for _ in range(3):
        hot.note(["often", "now and then"])
    hot.note(["often", "once"])
    assert hot.hottest(2) == [("often", 4), ("now and then", 3)]
    assert len(hot.hottest(10)) == 3


def test_what_is_popular_outlives_a_flood_of_texts_that_come_once() -> None:
    hot = sample(max_bytes=200 * (ENTRY_BYTES + 60))
    popular = [f"popular text {number}" for number in range(20)]
    again = cycle(popular)
    for number in range(20_000):
        hot.note([next(again), f"a text that comes once {number}"])
        assert hot.bytes <= 200 * (ENTRY_BYTES + 60)
    assert {text for text, _ in hot.hottest(20)} == set(popular)


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = Clock()
    hot = sample(clock=clock)
    for _ in range(4):
        hot.note(["yesterday's news"])
    clock.now = 2 * HALF_LIFE_S
    assert hot.hottest(9) == [("yesterday's news", 1)]
    clock.now = 3 * HALF_LIFE_S
    assert hot.hottest(9) == []
    assert (len(hot), hot.bytes) == (0, 0)
    clock.now = 1e9  # after a year without a request
    hot.note(["today's"])
    assert hot.hottest(9) == [("today's", 1)]


def test_a_text_larger_than_the_whole_sample_is_left_out() -> None:
    hot = sample(max_bytes=ENTRY_BYTES + 200)
    hot.note(["x" * 1_000, "short"])
    assert hot.hottest(9) == [("short", 1)]


def test_a_share_of_the_requests_is_looked_at() -> None:
    hot = HotTexts(1_000, Clock(), (number / 1_000 for number in range(1_000)).__next__)
    assert sum(hot.due() for _ in range(1_000)) == 125


def test_it_takes_no_more_memory_than_it_says() -> None:
    bound = 2_000_000
    tracemalloc.start()
    try:
        hot = sample(max_bytes=bound)
        for number in range(30_000):
            hot.note([f"a text of no great length {number}"])
            if number % 1_000 == 0:
                assert tracemalloc.get_traced_memory()[0] < bound * 1.1
    finally:
        tracemalloc.stop()
