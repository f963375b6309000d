"""Who is let in, who is sent away, and for how long."""

import math

import pytest

from mlapi.batching.admission import MAX_RETRY_AFTER_S, Admission
from mlapi.batching.drain_rate import TRUST_S
from mlapi.batching.fair_queue import FairQueue, Pace, Request
from mlapi.errors import BatchTooLargeError, DeadlineExceededError, OverloadedError
from mlapi.observability.metrics import Metrics
from tests.unit.batching.fakes import Clock

BUDGET = 100


class Door:
    """An admission of 10 000 tokens at 100 tokens a second, and the queue behind it."""

    def __init__(self, rate: float = 100.0, streams: int = 1) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.admission = Admission(
            max_waiting_tokens=10_000, rate=rate, clock=self.clock, metrics=self.metrics, streams=streams
        )
        self.queue: FairQueue[int] = FairQueue(BUDGET, 0.1)
        self._items = 0

    def admit(self, tokens: int, within_s: float = 1000.0, texts: int = 2) -> Request[int]:
        """Ask to be let in, and wait."""
        deadline = self.clock.now + within_s
        request: Request[int] = Request(deadline, self.admission.due(deadline))
        self._items += 1
        request.add(self._items, tokens, 0)
        self.admission.admit(request, self.queue, texts=texts)
        self.queue.add(request)
        return request

    def refusal(self, tokens: int, within_s: float = 1000.0) -> OverloadedError:
        with pytest.raises(OverloadedError) as caught:
            self.admit(tokens, within_s)
        return caught.value

    def work(self, rate: float, seconds: int) -> None:
        """Compute at that rate, in batches of a second, while something waits; nothing is left."""
        tokens = round(rate)
        for _ in range(seconds):
            self.admit(tokens + 1, texts=1)
            self.queue.clear()
            self.admission.started(tokens)
            self.clock.now += 1.0
            self.admission.finished(tokens, 1.0)
            self.admission.withdrawn(1)

    def shed(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value("mlapi_shed_total", {"reason": reason})


def test_requests_are_let_in_up_to_the_bound_and_not_one_token_further() -> None:
    door = Door()
    door.admit(6000)
    door.admit(4000)
    assert door.admission.waiting_tokens == 10_000
    door.refusal(1)
    assert door.admission.waiting_tokens == 10_000
    assert (door.shed("queue_full"), door.shed("deadline")) == (1.0, None)


def test_a_request_above_the_bound_is_too_large_and_not_told_to_come_back() -> None:
    door = Door()
    with pytest.raises(BatchTooLargeError) as caught:
        door.admit(10_001)
    assert caught.value.retry_after_s is None
    assert (door.shed("queue_full"), door.admission.waiting_tokens) == (None, 0)


def test_who_cannot_be_served_in_time_is_sent_away_at_once() -> None:
    door = Door()
    door.admit(600, within_s=10.0)
    door.admit(100, within_s=10.0)
    # All are due in 9 s, and 80 tokens a second are promised.
    door.refusal(21, within_s=10.0)
    assert (door.shed("deadline"), door.admission.waiting_tokens) == (1.0, 700)
    assert door.admit(19, within_s=10.0).due == door.clock.now + 9.0


def test_what_runs_goes_first() -> None:
    door = Door()
    door.admit(75)
    door.admit(1000)
    door.admission.started(1000)
    door.refusal(1, within_s=11.0)
    door.admit(1, within_s=13.0)


def test_the_last_batch_runs_on_one_stream_alone() -> None:
    door = Door(streams=3)
    door.admit(75)
    # 100 tokens take a stream of three as long as 300 take them all, and wait for others at four fifths of the rate.
    door.refusal(100, within_s=3.5)
    door.admit(100, within_s=3.7)


def test_large_requests_together_leave_room_for_small_ones() -> None:
    door = Door()
    door.admit(1)
    door.refusal(632, within_s=10.0)
    door.admit(630, within_s=10.0)
    door.admit(89, within_s=10.0)
    door.refusal(101, within_s=10.0)


def test_large_requests_leave_as_much_as_small_ones_took_lately_up_to_half() -> None:
    door = Door()

    def small_ones(tokens: int) -> None:
        for _ in range(60):
            door.admit(tokens)
            door.admission.withdrawn(tokens)
            door.queue.clear()
            door.clock.now += 0.5

    small_ones(10)  # 20 tokens a second
    door.admit(1)
    door.refusal(560, within_s=10.0)
    door.admit(530, within_s=10.0)
    door.admission.withdrawn(531)
    door.queue.clear()
    small_ones(50)
    door.admit(1)
    door.refusal(361, within_s=10.0)
    door.admit(359, within_s=10.0)
    door.clock.now += 60.0
    door.admission.withdrawn(360)
    door.queue.clear()
    door.admit(1)
    door.admit(629, within_s=10.0)


def test_nobody_is_let_in_for_whose_sake_another_would_be_late() -> None:
    door = Door()
    door.admit(630, within_s=10.0)
    door.refusal(100, within_s=9.0)
    door.admit(89, within_s=9.0)


def test_what_is_due_later_turns_nobody_away() -> None:
    door = Door()
    door.admit(9000)
    door.refusal(51, within_s=0.5)
    door.admit(35, within_s=0.5)


def test_a_request_whose_deadline_has_passed_is_not_queued() -> None:
    door = Door()
    with pytest.raises(DeadlineExceededError):
        door.admit(8, within_s=0.0)
    assert (door.shed("deadline"), door.admission.waiting_tokens) == (1.0, 0)


def test_an_empty_queue_takes_what_fits_the_bound_and_promises_what_it_can() -> None:
    door = Door()
    assert door.admit(10_000, within_s=10.0).due == math.inf
    door.admission.started(10_000)
    door.queue.clear()
    assert door.admit(10_000, within_s=300.0).due == door.clock.now + 270.0


def test_right_after_a_bad_moment_an_empty_queue_refuses_and_says_when_it_will_not() -> None:
    door = Door()
    door.work(10.0, seconds=20)
    assert door.admission.rate < 20.0
    assert door.refusal(600, within_s=10.0).retry_after_s == TRUST_S
    door.admit(600, within_s=10.0, texts=1)
    door.queue.clear()
    door.admission.withdrawn(600)
    door.clock.now += TRUST_S - 0.5
    assert door.refusal(600, within_s=10.0).retry_after_s == 1
    door.clock.now += 0.5
    door.admit(600, within_s=10.0)


def test_behind_others_a_lone_text_has_to_make_its_deadline_like_everyone() -> None:
    door = Door()
    door.admit(500, within_s=10.0)
    with pytest.raises(OverloadedError):
        door.admit(512, within_s=10.0, texts=1)


def test_who_is_refused_is_told_when_enough_will_have_drained() -> None:
    door = Door()
    door.work(100.0, seconds=1)
    door.admit(630, within_s=10.0)
    assert door.refusal(450, within_s=10.0).retry_after_s == 5  # 450 tokens at 100 a second, in whole seconds
    door.admit(9370)
    assert door.refusal(450).retry_after_s == 5


def test_nobody_is_told_to_wait_for_longer_than_the_queue_takes_to_empty() -> None:
    door = Door()
    door.work(100.0, seconds=1)
    door.admit(250, within_s=10.0)
    assert door.refusal(9000, within_s=10.0).retry_after_s == 3 + TRUST_S


def test_nobody_is_told_to_wait_for_longer_than_it_takes_to_measure_what_is_only_assumed() -> None:
    door = Door(rate=1.0)
    door.admit(9000, within_s=10.0)
    assert door.refusal(600, within_s=10.0).retry_after_s == TRUST_S
    assert door.refusal(9000, within_s=10.0).retry_after_s == TRUST_S


def test_nobody_is_sent_away_for_less_than_a_second_or_more_than_a_minute() -> None:
    door = Door()
    door.work(100.0, seconds=1)
    door.admit(10_000)
    assert door.refusal(1).retry_after_s == 1
    assert door.refusal(9000).retry_after_s == MAX_RETRY_AFTER_S


def test_what_is_given_up_is_counted_and_told_when_to_come_again() -> None:
    door = Door()
    door.work(100.0, seconds=1)
    door.admit(600, within_s=10.0)
    door.clock.now += 5.0
    door.work(100.0, seconds=1)
    error = door.admission.given_up(600, door.clock.now + 4.0)
    assert (error.retry_after_s, door.shed("deadline"), door.admission.waiting_tokens) == (2, 1.0, 0)


def test_a_closed_door_is_seen_before_the_texts_are_tokenised() -> None:
    door = Door()
    door.work(100.0, seconds=1)
    door.admit(9992)
    door.admission.check_open()
    door.admission.check_open(8)
    with pytest.raises(OverloadedError) as caught:
        door.admission.check_open(209)
    assert (caught.value.retry_after_s, door.shed("queue_full")) == (3, 1.0)
    with pytest.raises(BatchTooLargeError):
        door.admission.check_open(10_001)


def test_streams_side_by_side_add_up() -> None:
    door = Door(streams=2)
    door.admit(8)
    for _ in range(200):
        door.admit(200)
        door.queue.clear()
        door.admission.started(100)
        door.admission.started(100)
        door.clock.now += 0.1
        door.admission.finished(100, 0.1)
        door.admission.started(0)  # The freed stream takes the next batch before the other one ends.
        door.admission.finished(100, 0.1)
        door.admission.finished(0, None)
    assert door.admission.rate == pytest.approx(2000.0, rel=0.01)


def test_runs_that_leave_streams_idle_do_not_lower_the_rate() -> None:
    door = Door()
    for _ in range(100):
        door.admit(8)
        door.admission.started(8)
        door.clock.now += 10.0
        door.admission.finished(8, 10.0)
    assert door.admission.rate == 100.0


def test_failed_runs_say_nothing_about_the_rate() -> None:
    door = Door()
    door.admit(1000)
    door.admission.started(500)
    door.clock.now += 10.0
    door.admission.finished(500, None)
    assert door.admission.rate == 100.0


def test_the_pace_says_what_runs_and_whether_the_rate_is_evidence() -> None:
    door = Door()
    door.admit(600)
    door.admission.started(200)
    assert door.admission.pace == Pace(rate=100.0, measured=False, lead_s=2.0)
    door.admission.withdrawn(400)
    door.admission.finished(200, None)
    door.work(100.0, seconds=1)
    assert door.admission.pace.measured


def test_the_gauge_shows_what_waits_and_not_what_runs() -> None:
    door = Door()
    door.admit(300)
    door.admission.started(100)
    door.admission.withdrawn(50)
    assert door.metrics.registry.get_sample_value("mlapi_queue_tokens") == 150.0


@pytest.mark.parametrize(("bound", "rate"), [(0, 1.0), (1, 0.0), (1, math.inf), (1, math.nan), (1, -1.0)])
def test_a_bound_or_a_rate_that_makes_no_sense_stops_the_start(bound: int, rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Admission(max_waiting_tokens=bound, rate=rate, clock=Clock(), metrics=Metrics())
