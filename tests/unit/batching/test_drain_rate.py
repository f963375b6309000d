"""How fast work drains: what measures it, what fades, and for how long a measurement is evidence."""

import math

import pytest

from mlapi.batching.drain_rate import EVIDENCE_S, MEMORY_S, TRUST_S, DrainRate
from tests.unit.batching.fakes import Clock


class Meter:
    """A rate that is assumed to be 100 tokens a second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.rate = DrainRate(100.0, self.clock)

    def run(self, tokens: int, seconds: float, *, times: int = 1, under_load: bool = True) -> float:
        for _ in range(times):
            self.clock.now += seconds
            self.rate.measured(tokens, seconds, under_load=under_load)
        return self.rate.value


def test_the_rate_follows_what_is_measured_under_load() -> None:
    meter = Meter()
    assert 100.0 < meter.run(10, 0.01) < 130.0  # A hundredth of a second changes little.
    assert meter.run(100, 0.1, times=400) == pytest.approx(1000.0, rel=0.01)


def test_an_assumption_weighs_as_much_as_the_least_evidence() -> None:
    assert Meter().run(30, 0.1, times=5) == pytest.approx(200.0, rel=0.05)


def test_what_was_measured_fades_with_the_time_spent_under_load() -> None:
    meter = Meter()
    meter.run(10, 0.1, times=1000)
    assert meter.run(100, 0.1, times=round(MEMORY_S / 0.1)) == pytest.approx(1000 - 900 / math.e, rel=0.02)


def test_one_run_that_takes_long_is_the_machine_standing_still_and_no_rate() -> None:
    meter = Meter()
    meter.run(10, 0.1, times=200)
    assert meter.run(10, 10.0) > 85.0


def test_a_run_without_load_can_raise_the_rate_but_not_lower_it() -> None:
    meter = Meter()
    assert meter.run(10, 1.0, times=50, under_load=False) == 100.0
    assert meter.run(300, 1.0, times=50, under_load=False) == pytest.approx(300.0, rel=0.01)
    assert meter.rate.trusted_s == 0.0


def test_a_run_that_took_no_time_says_nothing() -> None:
    meter = Meter()
    assert (meter.run(10, 0.0), meter.rate.trusted_s) == (100.0, 0.0)


def test_what_was_measured_for_long_enough_is_evidence_for_some_time() -> None:
    meter = Meter()
    meter.run(10, EVIDENCE_S / 4, times=3)
    assert meter.rate.trusted_s == 0.0
    meter.run(10, EVIDENCE_S / 4)
    assert meter.rate.trusted_s == TRUST_S
    meter.clock.now += TRUST_S / 4
    assert meter.rate.trusted_s == TRUST_S * 0.75
    meter.clock.now += TRUST_S
    assert meter.rate.trusted_s == 0.0


def test_after_a_pause_a_bad_moment_is_forgotten_as_fast_as_evidence_comes_in() -> None:
    meter = Meter()
    meter.run(10, 10.0, times=100)
    assert meter.rate.value < 5.0
    meter.clock.now += TRUST_S * 1.01
    assert meter.run(10, 0.1) > 15.0
    assert meter.rate.trusted_s == 0.0
    assert meter.run(10, 0.1, times=4) == pytest.approx(50.0, rel=0.05)
    assert meter.rate.trusted_s == TRUST_S


@pytest.mark.parametrize("assumed", [0.0, math.inf, math.nan, -1.0])
def test_a_rate_that_makes_no_sense_stops_the_start(assumed: float) -> None:
    with pytest.raises(ValueError, match="not positive"):
        DrainRate(assumed, Clock())
