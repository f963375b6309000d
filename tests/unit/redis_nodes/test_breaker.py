"""The circuit breaker, on a clock that the test moves."""

import pytest

from mlapi.redis_nodes.breaker import BreakerState, CircuitBreaker
from tests.stores import Clock

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


class Circuit:
    """A breaker that opens after three failures, for 4 to 8 seconds, at most 20; and the states it has reported."""

    def __init__(self, jitter: float = 0.0) -> None:
        self.clock = Clock()
        self.reported: list[BreakerState] = []
        self.breaker = CircuitBreaker(
            clock=self.clock,
            jitter=lambda: jitter,
            on_change=self.reported.append,
            threshold=3,
            backoff_s=8.0,
            max_backoff_s=20.0,
        )

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(self.clock())

    def fail_probe_after(self, seconds: float) -> None:
        self.clock.now += seconds
        assert self.breaker.allow()
        self.fail()

    def opens_for(self) -> float:
        """Return how many seconds it takes until a probe is allowed, to a quarter second."""
        start = self.clock.now
        while not self.breaker.allow():
            self.clock.now += 0.25
        return self.clock.now - start


def test_it_starts_closed_and_says_so() -> None:
    circuit = Circuit()
    assert circuit.breaker.allow()
    assert circuit.reported == [CLOSED]


def test_it_opens_after_that_many_failures_in_a_row() -> None:
    circuit = Circuit()
    circuit.fail(2)
    assert circuit.breaker.allow()
    circuit.fail()
    assert not circuit.breaker.allow()
    assert circuit.reported == [CLOSED, OPEN]


def test_a_success_in_between_starts_the_count_again() -> None:
    circuit = Circuit()
    circuit.fail(2)
    circuit.breaker.succeeded(circuit.clock())
    circuit.fail(2)
    assert circuit.breaker.state is CLOSED


def test_operations_that_one_stall_fails_together_count_once() -> None:
    circuit = Circuit()
    began = circuit.clock()
    circuit.clock.now += 0.02
    for _ in range(10):
        circuit.breaker.failed(began)
    assert circuit.breaker.state is CLOSED


def test_half_open_it_lets_one_probe_through() -> None:
    circuit = Circuit()
    circuit.fail(3)
    circuit.clock.now += 4.0
    assert [circuit.breaker.allow() for _ in range(3)] == [True, False, False]
    assert circuit.reported == [CLOSED, OPEN, HALF_OPEN]


def test_a_probe_that_works_closes_it() -> None:
    circuit = Circuit()
    circuit.fail(3)
    assert circuit.opens_for() == 4.0
    circuit.breaker.succeeded(circuit.clock())
    assert circuit.reported == [CLOSED, OPEN, HALF_OPEN, CLOSED]
    circuit.fail(2)
    assert circuit.breaker.allow()


def test_probes_that_fail_wait_twice_as_long_up_to_the_bound() -> None:
    circuit = Circuit()
    circuit.fail(3)
    waits = []
    for _ in range(4):
        waits.append(circuit.opens_for())
        circuit.fail()
    assert waits == [4.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize(("closed_for", "seconds"), [(0.0, 10.0), (19.75, 10.0), (20.0, 4.0)])
def test_the_back_off_is_short_again_once_it_stayed_closed_for_the_longest(closed_for: float, seconds: float) -> None:
    circuit = Circuit()
    circuit.fail(3)
    circuit.fail_probe_after(4.0)
    assert circuit.opens_for() == 8.0
    circuit.breaker.succeeded(circuit.clock())
    circuit.clock.now += closed_for
    circuit.fail(3)
    assert circuit.opens_for() == seconds


def test_a_server_that_works_now_and_then_is_not_tried_more_often_than_one_that_never_does() -> None:
    circuit = Circuit()
    waits = []
    for _ in range(4):
        circuit.breaker.failed(circuit.clock(), certain=True)
        waits.append(circuit.opens_for())
        circuit.breaker.succeeded(circuit.clock())
    assert waits == [4.0, 8.0, 10.0, 10.0]


def test_a_failure_that_is_certain_opens_it_by_itself() -> None:
    circuit = Circuit()
    circuit.breaker.failed(circuit.clock(), certain=True)
    assert not circuit.breaker.allow()
    assert circuit.reported == [CLOSED, OPEN]


def test_a_certain_failure_from_before_the_probe_says_nothing_about_it() -> None:
    circuit = Circuit()
    before = circuit.clock()
    circuit.clock.now += 1.0
    circuit.fail(3)
    circuit.opens_for()
    circuit.breaker.failed(before, certain=True)
    assert circuit.breaker.state is HALF_OPEN


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 4.0), (0.5, 6.0), (0.9375, 7.75)])
def test_the_back_off_is_between_half_and_all_of_its_nominal_time(jitter: float, seconds: float) -> None:
    circuit = Circuit(jitter)
    circuit.fail(3)
    assert circuit.opens_for() == seconds


def test_outcomes_from_before_it_opened_say_nothing_about_the_probe() -> None:
    circuit = Circuit()
    before = circuit.clock()
    circuit.clock.now += 1.0
    circuit.fail(3)
    circuit.breaker.succeeded(circuit.clock())
    assert circuit.breaker.state is OPEN
    circuit.opens_for()
    circuit.breaker.succeeded(before)
    circuit.breaker.failed(before)
    assert circuit.breaker.state is HALF_OPEN


def test_a_probe_that_nobody_hears_of_again_is_replaced() -> None:
    circuit = Circuit()
    circuit.fail(3)
    circuit.opens_for()
    assert circuit.opens_for() == 8.0
