"""Whose turn it is, by fairness and by due time, and what shares its batch."""

import math

from mlapi.batching.fair_queue import LARGE_TURNS, PROMISED_SHARE, FairQueue, Pace, Request

FAR = 1e9
FAST = Pace(rate=1e9)


def request_of(name: str, *lengths: int, deadline: float = FAR, due: float | None = None) -> Request[str]:
    """Return a request whose items are called by its name and their places; it is due at its deadline by default."""
    request: Request[str] = Request(deadline, deadline if due is None else due)
    for place, length in enumerate(lengths):
        request.add(f"{name}{place}", length, place)
    return request


def queued(
    queue: FairQueue[str], name: str, *lengths: int, deadline: float = FAR, due: float | None = None
) -> Request[str]:
    request = request_of(name, *lengths, deadline=deadline, due=due)
    queue.add(request)
    return request


def batches(queue: FairQueue[str], rate: float = 1e9, now: float = 0.0) -> list[list[str]]:
    """Take everything out, as a model of that rate would do it."""
    taken = []
    while queue:
        turn = queue.take(now, Pace(rate))
        now += turn.padded * len(turn.batch) / rate
        taken.append(turn.batch)
    return taken


def test_nothing_waits_in_a_new_queue() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    assert not queue
    assert queue.take(0.0, FAST).batch == []


def test_a_batch_has_one_length_and_keeps_to_its_budget() -> None:
    queue: FairQueue[str] = FairQueue(32, 0.1)
    queued(queue, "a", 16, 8, 16, 16, 8)
    assert batches(queue) == [["a0", "a2"], ["a1", "a4"], ["a3"]]


def test_an_item_larger_than_the_budget_goes_alone() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "a", 512, 512)
    assert batches(queue) == [["a0"], ["a1"]]


def test_the_turn_takes_its_own_items_first_and_then_those_of_others_by_arrival() -> None:
    queue: FairQueue[str] = FairQueue(24, 0.1)
    queued(queue, "a", 8)
    queued(queue, "b", 16, 8)
    queued(queue, "c", 8, 8)
    assert batches(queue) == [["a0", "b1", "c0"], ["b0"], ["c1"]]


def test_a_small_request_goes_before_a_large_one_that_came_first() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[8] * 5)
    assert queue.take(0.0, FAST).batch == ["bulk0", "bulk1"]
    queued(queue, "x", 16)
    assert batches(queue) == [["x0"], ["bulk2", "bulk3"], ["bulk4"]]


def test_a_large_request_has_a_turn_after_a_batch_of_tokens_of_small_ones() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[24] * 3)
    for name in "wxyz":
        queued(queue, name, 8)
        queued(queue, name.upper(), 16)
    assert batches(queue) == [
        ["w0", "x0"],
        ["bulk0"],
        ["W0"],
        ["bulk1"],
        ["X0"],
        ["bulk2"],
        ["y0", "z0"],
        ["Y0"],
        ["Z0"],
    ]


def test_the_batch_of_a_small_request_is_not_made_longer_by_a_large_one() -> None:
    queue: FairQueue[str] = FairQueue(32, 0.1)
    queued(queue, "bulk", *[8] * 6)
    queued(queue, "x", 8)
    queued(queue, "y", 8)
    assert queue.take(0.0, FAST).batch == ["x0", "y0"]


def test_small_requests_ride_along_with_a_large_one() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", 8, 16)
    queued(queue, "other", 8, 16)
    queued(queue, "x", 16)
    queued(queue, "y", 8)
    assert batches(queue) == [["x0"], ["bulk0", "y0"], ["bulk1"], ["other0"], ["other1"]]


def test_a_large_request_overtakes_longer_ones_unless_those_have_waited_for_the_difference() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "a", *[16] * 6)
    queued(queue, "b", *[16] * 2)
    queued(queue, "c", *[16] * 2)
    taken = [queue.take(0.0, FAST).batch for _ in range(3)]
    assert taken == [["b0"], ["b1"], ["c0"]]
    queued(queue, "d", *[16] * 2)
    queued(queue, "e", *[16] * 3)
    assert batches(queue) == [
        [f"{name}{place}"]
        for name, items in (("c", "1"), ("d", "01"), ("a", "012345"), ("e", "012"))
        for place in items
    ]


def test_a_turn_that_would_make_another_late_is_not_given() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[8] * 6, due=48 / PROMISED_SHARE + 15.9)
    queued(queue, "x", 16)
    assert batches(queue, rate=1.0)[:2] == [["bulk0", "bulk1"], ["bulk2", "bulk3"]]
    queued(queue, "bulk", *[8] * 6, due=(48 + 16) / PROMISED_SHARE)
    queued(queue, "x", 16)
    assert batches(queue, rate=1.0)[0] == ["x0"]


def test_where_time_is_short_the_turn_is_theirs_who_are_due_first() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "a", *[16] * 2, due=80.0)
    queued(queue, "b", *[16] * 2, due=60.0)
    queued(queue, "c", *[16] * 2, due=40.0)
    assert batches(queue, rate=1.0)[:4] == [["c0"], ["c1"], ["b0"], ["b1"]]


def test_no_more_rides_along_than_there_is_time_for() -> None:
    queue: FairQueue[str] = FairQueue(32, 0.1)
    queued(queue, "bulk", 8, *[16] * 8, due=(136 + 8) / PROMISED_SHARE)
    for name in "xyz":
        queued(queue, name, 8)
    assert queue.take(0.0, Pace(1.0)).batch == ["bulk0", "x0"]


def test_where_something_will_be_late_whatever_is_done_batches_are_full() -> None:
    queue: FairQueue[str] = FairQueue(32, 0.1)
    queued(queue, "bulk", 8, *[16] * 8, due=100.0)
    for name in "xyz":
        queued(queue, name, 8)
    assert queue.take(0.0, Pace(1.0)).batch == ["bulk0", "x0", "y0", "z0"]


def test_what_runs_goes_before_all_that_waits() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[8] * 6, due=(48 + 16) / PROMISED_SHARE)
    queued(queue, "x", 16)
    assert queue.take(0.0, Pace(1.0, lead_s=1.0)).batch == ["bulk0", "bulk1"]


def test_small_ones_have_a_turn_after_so_many_of_large_ones_however_late_those_are() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[16] * 30, due=1.0)
    for name in "xyz":
        queued(queue, name, 16)
    turns = batches(queue, rate=1e-3)
    assert [turns.index([name]) for name in ("x0", "y0", "z0")] == [LARGE_TURNS, 2 * LARGE_TURNS + 1, 29]


def test_a_small_one_that_is_due_first_does_not_wait_for_large_ones() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[16] * 30, due=2.0)
    queued(queue, "x", 16, due=1.0)
    assert queue.take(0.0, Pace(1e-3)).batch == ["x0"]


def test_who_was_promised_nothing_has_turns_and_makes_nobody_late() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "bulk", *[16] * 4, due=math.inf)
    queued(queue, "x", 16)
    assert batches(queue, rate=1.0) == [["x0"], ["bulk0"], ["bulk1"], ["bulk2"], ["bulk3"]]
    queued(queue, "bulk", *[16] * 4, due=math.inf)
    queued(queue, "other", *[16] * 2, due=40.0)
    assert batches(queue, rate=1.0)[:2] == [["other0"], ["other1"]]


def test_what_cannot_be_done_any_more_is_given_up_if_that_was_measured() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "a", *[16] * 4, deadline=63.0)
    queued(queue, "b", *[16] * 4, deadline=64.0)
    taken = queue.take(0.0, Pace(1.0, measured=True))
    assert (taken.given_up, taken.batch, taken.expired) == ([["a0", "a1", "a2", "a3"]], ["b0"], [])
    queued(queue, "c", *[16] * 4, deadline=1.0)
    assert queue.take(0.0, Pace(1.0)).batch == ["c0"]


def excess(queue: FairQueue[str], *lengths: int, due: float, own_rate: float = 1.0) -> float:
    return queue.excess(request_of("new", *lengths, due=due), 0.0, rate=1.0, own_rate=own_rate)


def test_what_is_due_later_does_not_go_before_a_newcomer() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "bulk", *[16] * 1000, due=1e6)
    assert excess(queue, 32, due=32.0) == 0.0
    assert excess(queue, 32, due=30.0) == 2.0


def test_a_newcomer_must_not_make_those_late_who_are_due_after_it() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "bulk", *[16] * 10, due=170.0)
    assert excess(queue, *[16] * 5, due=80.0) == 70.0
    assert excess(queue, 8, due=80.0, own_rate=0.01) == -2.0
    queued(queue, "late anyway", *[16] * 10, due=300.0)
    assert excess(queue, 8, due=80.0, own_rate=0.01) == -2.0


def test_large_ones_together_have_a_rate_of_their_own() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "x", 64, due=400.0)
    queued(queue, "bulk", *[16] * 10, due=400.0)
    assert excess(queue, *[16] * 5, due=400.0, own_rate=0.5) == 160 + 80 - 200
    assert excess(queue, *[16] * 5, due=400.0, own_rate=0.75) == 160 + 80 - 300
    assert excess(queue, *[16] * 15, due=400.0, own_rate=1.0) == 64 + 160 + 240 - 400


def test_a_small_one_needs_room_among_all_or_among_small_ones() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "bulk", *[16] * 30, due=400.0)
    queued(queue, "x", 32, due=400.0)
    assert excess(queue, 8, due=400.0, own_rate=0.1) == 0.0
    assert excess(queue, 24, due=400.0, own_rate=0.1) == 16.0


def test_a_discarded_item_is_gone_and_discarding_it_again_changes_nothing() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    request = queued(queue, "a", 8, 8, 16)
    assert queue.discard(request, 8, "a0")
    assert not queue.discard(request, 8, "a0")
    assert batches(queue) == [["a1"], ["a2"]]
    assert not queue.discard(request, 16, "a2")


def test_a_request_without_items_leaves_the_queue() -> None:
    queue: FairQueue[str] = FairQueue(8, 0.1)
    request = queued(queue, "a", 8, 16)
    assert queue.discard(request, 8, "a0")
    assert queue.discard(request, 16, "a1")
    assert not queue
    had_a_turn = queued(queue, "b", 8, 8)
    queue.take(0.0, FAST)
    assert queue.discard(had_a_turn, 8, "b1")
    assert not queue


def test_a_request_past_its_deadline_leaves_when_its_turn_comes() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "late", 8, 16, deadline=1.0)
    queued(queue, "a", 8)
    taken = queue.take(1.0, FAST)
    assert (taken.batch, taken.expired) == (["a0"], ["late0", "late1"])
    assert not queue


def test_a_request_past_its_deadline_takes_no_room_in_the_batch_of_another() -> None:
    queue: FairQueue[str] = FairQueue(16, 0.1)
    queued(queue, "a", 8)
    queued(queue, "late", 8, 8, deadline=1.0)
    queued(queue, "b", 8)
    taken = queue.take(1.0, FAST)
    assert (taken.batch, taken.expired) == (["a0", "b0"], ["late0", "late1"])


def test_when_all_that_waits_is_late_there_is_no_batch() -> None:
    queue: FairQueue[str] = FairQueue(64, 0.1)
    queued(queue, "late", 8, deadline=1.0)
    taken = queue.take(2.0, FAST)
    assert (taken.batch, taken.expired) == ([], ["late0"])
    assert not queue


def test_clearing_returns_all_that_waited() -> None:
    queue: FairQueue[str] = FairQueue(8, 0.1)
    queued(queue, "a", 8, 16)
    queue.take(0.0, FAST)
    queued(queue, "b", 8)
    assert sorted(queue.clear()) == ["a1", "b0"]
    assert not queue
