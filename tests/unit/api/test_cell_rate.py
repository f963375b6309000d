"""A name may send a burst together, then so much a second; a refusal costs nothing; others do not matter."""

from mlapi.api.cell_rate import CellRate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_next_one_waits() -> None:
    clock = Clock()
    rate = CellRate(10, burst_s=1, clock=clock)
    assert [rate.wait_s("a", 1) for _ in range(11)] == 10 * [0] + [1]
    assert rate.wait_s("b", 10) == 0
    clock.now += 0.1
    assert rate.wait_s("a", 1) == 0


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    rate = CellRate(10, burst_s=1, clock=clock)
    assert rate.wait_s("a", 10) == 0
    assert [rate.wait_s("a", 5) for _ in range(100)] == 100 * [1]
    clock.now += 0.5
    assert rate.wait_s("a", 5) == 0


def test_more_than_a_burst_passes_when_nothing_is_owed_and_is_paid_for_afterwards() -> None:
    clock = Clock()
    rate = CellRate(10, burst_s=1, clock=clock)
    assert rate.wait_s("a", 50) == 0
    assert rate.wait_s("a", 50) == 5
    clock.now += 5
    assert rate.wait_s("a", 50) == 0


def test_the_rate_holds_over_time() -> None:
    clock = Clock()
    rate = CellRate(10, burst_s=1, clock=clock)
    passed = 0
    for _ in range(1000):
        clock.now += 0.01
        passed += rate.wait_s("a", 1) == 0
    assert 100 <= passed <= 111


def test_who_sent_longest_ago_is_forgotten_first() -> None:
    rate = CellRate(1, burst_s=1, clock=Clock())
    for name in ("first", *map(str, range(9_999))):
        assert rate.wait_s(name, 1) == 0
    assert rate.wait_s("first", 1) == 1
    assert rate.wait_s("one more", 1) == 0
    assert rate.wait_s("first", 1) == 0
