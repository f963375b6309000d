"""Who is let in, who is sent away and for how long, and how the drain rate is learnt."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mlapi.batching.admission import MAX_RETRY_AFTER_S, RATE_MEMORY_S, RATE_TRUST_S, Admission
from mlapi.batching.fair_queue import Prospect
from mlapi.errors import BatchTooLargeError, DeadlineExceededError, OverloadedError
from mlapi.observability.metrics import Metrics
from tests.unit.batching.fakes import Clock


class Door:
    """An admission of 1 000 tokens at 100 tokens a second."""

    def __init__(self, rate: float = 100.0) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.admission = Admission(max_waiting_tokens=1000, rate=rate, clock=self.clock, metrics=self.metrics)

    def admit(
        self,
        tokens: int,
        within_s: float = 1000.0,
        texts: int = 2,
        ahead: int | None = None,
        held_up: Sequence[Prospect] = (),
    ) -> None:
        """Ask to be let in, behind all that waits unless told otherwise."""
        ahead = self.admission.waiting_tokens if ahead is None else ahead
        self.admission.admit(tokens, self.clock.now + within_s, texts=texts, ahead=ahead, held_up=held_up)

    def refusal(self, tokens: int, within_s: float = 1000.0) -> OverloadedError:
        with pytest.raises(OverloadedError) as caught:
            self.admit(tokens, within_s)
        return caught.value

    def run(self, tokens: int, seconds: float) -> None:
        """Start a batch and see it end, alone."""
        self.admission.started(tokens)
        self.clock.now += seconds
        self.admission.finished(tokens, seconds)

    def shed(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value("mlapi_shed_total", {"reason": reason})


def test_requests_are_let_in_up_to_the_bound_and_not_one_token_further() -> None:
    door = Door()
    door.admit(600)
    door.admit(400)
    assert door.admission.waiting_tokens == 1000
    door.refusal(1)
    assert door.admission.waiting_tokens == 1000
    assert (door.shed("queue_full"), door.shed("deadline")) == (1.0, 0)


def test_who_finds_the_queue_full_is_told_when_enough_will_have_drained() -> None:
    door = Door()
    door.admit(1000)
    assert door.refusal(450).retry_after_s == 5  # 450 tokens at 100 a second, in whole seconds


def test_a_request_above_the_bound_is_too_large_and_not_told_to_come_back() -> None:
    door = Door()
    with pytest.raises(BatchTooLargeError) as caught:
        door.admit(1001)
    assert caught.value.retry_after_s is None
    assert (door.shed("queue_full"), door.admission.waiting_tokens) == (0, 0)


def test_who_cannot_be_served_by_the_deadline_is_sent_away_at_once() -> None:
    door = Door()
    door.admit(700)
    assert door.refusal(100, within_s=7.5).retry_after_s == 2  # done in 8 s, and of 7.5 s 6 are planned
    assert door.shed("deadline") == 1.0
    door.admit(100, within_s=10.0)


def test_nobody_is_let_in_for_whose_sake_another_would_be_late() -> None:
    door = Door()
    door.admit(100)
    other = Prospect(deadline=door.clock.now + 5.0, tokens=300, with_another=401)
    with pytest.raises(OverloadedError):
        door.admit(300, held_up=[other])
    door.admit(300, held_up=[replace(other, with_another=400)])


def test_who_will_be_late_anyway_has_nobody_sent_away() -> None:
    door = Door()
    door.admit(100)
    door.admit(300, held_up=[Prospect(deadline=door.clock.now + 5.0, tokens=401, with_another=701)])


def test_what_waits_but_has_to_stand_back_turns_nobody_away() -> None:
    door = Door()
    door.admit(900)
    door.admit(20, within_s=0.5, ahead=20)
    with pytest.raises(OverloadedError):
        door.admit(20, within_s=0.5, ahead=21)


@pytest.mark.parametrize(("rate", "seconds"), [(0.001, MAX_RETRY_AFTER_S), (1e9, 1)])
def test_nobody_is_sent_away_for_less_than_a_second_or_more_than_a_minute(rate: float, seconds: int) -> None:
    door = Door(rate)
    door.admit(1000, within_s=math.inf)
    assert door.refusal(1000, within_s=math.inf).retry_after_s == seconds


def test_a_request_whose_deadline_has_passed_is_not_queued() -> None:
    door = Door()
    with pytest.raises(DeadlineExceededError):
        door.admit(8, within_s=0.0)
    assert (door.shed("deadline"), door.admission.waiting_tokens) == (1.0, 0)


def test_a_lone_text_finds_an_empty_queue_open_however_slow_the_model_seems() -> None:
    door = Door()
    door.admit(16)
    door.run(8, seconds=1000.0)
    door.admission.withdrawn(8)
    assert door.admission.rate < 0.1
    door.refusal(512, within_s=10.0)
    door.admit(512, within_s=10.0, texts=1)


def test_behind_others_a_lone_text_has_to_make_its_deadline_like_everyone() -> None:
    door = Door()
    door.admit(500)
    with pytest.raises(OverloadedError):
        door.admit(512, within_s=10.0, texts=1)


def test_an_old_measurement_alone_turns_nobody_away_from_an_empty_queue() -> None:
    door = Door()
    door.admit(600)
    door.run(100, seconds=100.0)
    door.admission.withdrawn(500)
    door.refusal(400, within_s=10.0)
    door.clock.now += RATE_TRUST_S
    door.refusal(400, within_s=10.0)
    door.clock.now += 0.001
    door.admit(400, within_s=10.0)
    door.refusal(8, within_s=10.0)


def test_the_rate_of_the_warm_up_alone_turns_nobody_away_from_an_empty_queue() -> None:
    door = Door(rate=1.0)
    door.admit(1000, within_s=10.0)


def test_a_closed_door_is_seen_before_the_texts_are_tokenised() -> None:
    door = Door()
    door.admit(992)
    door.admission.check_open()
    door.admission.check_open(8)
    with pytest.raises(OverloadedError) as caught:
        door.admission.check_open(209)
    assert (caught.value.retry_after_s, door.shed("queue_full")) == (3, 1.0)
    with pytest.raises(BatchTooLargeError):
        door.admission.check_open(1001)


def test_the_rate_follows_what_is_measured_under_load() -> None:
    door = Door()
    door.admit(1000)
    door.run(100, seconds=0.1)
    assert 100.0 < door.admission.rate < 130.0  # A tenth of a second changes little.
    for _ in range(400):
        door.admit(100)
        door.run(100, seconds=0.1)
    assert door.admission.rate == pytest.approx(1000.0, rel=0.01)


def test_what_was_believed_before_fades_with_the_time_spent_under_load() -> None:
    door = Door(rate=100.0)
    door.admit(8)
    for _ in range(100):
        door.admit(50)
        door.run(50, seconds=RATE_MEMORY_S / 100)
    assert door.admission.rate == pytest.approx(100.0 / math.e + 1000.0 * (1 - 1 / math.e), rel=0.01)


def test_streams_side_by_side_add_up() -> None:
    door = Door()
    door.admit(8)
    for _ in range(400):
        door.admit(200)
        door.admission.started(100)
        door.admission.started(100)
        door.clock.now += 0.1
        door.admission.finished(100, 0.1)
        door.admission.started(0)  # The freed stream takes the next batch before the other one ends.
        door.admission.finished(100, 0.1)
        door.admission.finished(0, None)
    assert door.admission.rate == pytest.approx(2000.0, rel=0.01)


def test_runs_that_leave_streams_idle_say_nothing_about_the_rate() -> None:
    door = Door()
    for _ in range(100):
        door.admit(8)
        door.run(8, seconds=10.0)
    assert door.admission.rate == 100.0


def test_failed_runs_say_nothing_about_the_rate() -> None:
    door = Door()
    door.admit(1000)
    door.admission.started(500)
    door.admission.finished(500, None)
    assert door.admission.rate == 100.0


def test_the_gauge_shows_what_waits_and_not_what_runs() -> None:
    door = Door()
    door.admit(300)
    door.admission.started(100)
    door.admission.withdrawn(50)
    assert door.metrics.registry.get_sample_value("mlapi_queue_tokens") == 150.0


@pytest.mark.parametrize(("bound", "rate"), [(0, 1.0), (1, 0.0), (1, math.inf), (1, math.nan), (1, -1.0)])
def test_a_bound_or_a_rate_that_makes_no_sense_stops_the_start(bound: int, rate: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Admission(max_waiting_tokens=bound, rate=rate, clock=Clock(), metrics=Metrics())
