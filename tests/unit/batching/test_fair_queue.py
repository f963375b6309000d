"""Whose turn it is and what shares its batch; the bounds are in `tests/property/test_batching_fairness.py`."""

from mlapi.batching.fair_queue import FairQueue, Prospect, Request

FAR = 100.0


def request_of(name: str, *lengths: int, deadline: float = FAR) -> Request[str]:
    """Return a request whose items are called by its name and their places."""
    request: Request[str] = Request(deadline)
    for place, length in enumerate(lengths):
        request.add(f"{name}{place}", length, place)
    return request


def queued(queue: FairQueue[str], name: str, *lengths: int, deadline: float = FAR) -> Request[str]:
    request = request_of(name, *lengths, deadline=deadline)
    queue.add(request)
    return request


def ahead(queue: FairQueue[str], *lengths: int) -> int:
    return queue.ahead(request_of("new", *lengths))


def batches(queue: FairQueue[str]) -> list[list[str]]:
    taken = []
    while queue:
        taken.append(queue.take(now=0.0).batch)
    return taken


def test_nothing_waits_in_a_new_queue() -> None:
    queue: FairQueue[str] = FairQueue(64)
    assert not queue
    assert queue.take(now=0.0).batch == []
    assert ahead(queue, 8) == 0


def test_a_batch_has_one_length_and_keeps_to_its_budget() -> None:
    queue: FairQueue[str] = FairQueue(32)
    queued(queue, "a", 16, 8, 16, 16, 8)
    assert batches(queue) == [["a0", "a2"], ["a1", "a4"], ["a3"]]


def test_an_item_larger_than_the_budget_goes_alone() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "a", 512, 512)
    assert batches(queue) == [["a0"], ["a1"]]


def test_the_turn_takes_its_own_items_first_and_then_those_of_others_by_arrival() -> None:
    queue: FairQueue[str] = FairQueue(24)
    queued(queue, "a", 8)
    queued(queue, "b", 16, 8)
    queued(queue, "c", 8, 8)
    assert batches(queue) == [["a0", "b1", "c0"], ["b0"], ["c1"]]


def test_a_small_request_goes_before_a_large_one_that_came_first() -> None:
    queue: FairQueue[str] = FairQueue(16)
    queued(queue, "bulk", *[8] * 5)
    assert queue.take(now=0.0).batch == ["bulk0", "bulk1"]
    queued(queue, "x", 16)
    assert batches(queue) == [["x0"], ["bulk2", "bulk3"], ["bulk4"]]


def test_a_large_request_has_a_turn_after_a_batch_of_tokens_of_small_ones() -> None:
    queue: FairQueue[str] = FairQueue(16)
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
    queue: FairQueue[str] = FairQueue(32)
    queued(queue, "bulk", *[8] * 6)
    queued(queue, "x", 8)
    queued(queue, "y", 8)
    assert queue.take(now=0.0).batch == ["x0", "y0"]


def test_small_requests_ride_along_with_a_large_one() -> None:
    queue: FairQueue[str] = FairQueue(16)
    queued(queue, "bulk", 8, 16)
    queued(queue, "other", 8, 16)
    queued(queue, "x", 16)
    queued(queue, "y", 8)
    assert batches(queue) == [["x0"], ["bulk0", "y0"], ["other0"], ["bulk1"], ["other1"]]


def test_large_requests_take_turns() -> None:
    queue: FairQueue[str] = FairQueue(8)
    queued(queue, "a", 8, 8, 8)
    queued(queue, "b", 16, 16, 16)
    queued(queue, "c", 24, 24)
    assert batches(queue) == [["a0"], ["b0"], ["c0"], ["a1"], ["b1"], ["c1"], ["a2"], ["b2"]]


def test_only_a_batch_of_what_waits_goes_before_a_small_request() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "bulk", *[16] * 1000)
    assert ahead(queue, 16) == 64
    queued(queue, "x", 32)
    assert ahead(queue, 16) == 32 + 64
    assert ahead(queue, 16, 24) == 32 + 2 * 64


def test_a_large_request_has_its_share_ahead_and_never_more_than_what_waits() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "bulk", *[16] * 1000)
    assert ahead(queue, *[16] * 9) == 3 * 2 * 64
    assert ahead(queue, *[16] * 1000) == 16_000


def test_a_large_request_holds_up_those_that_it_takes_turns_with() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "a", *[16] * 8, deadline=5.0)
    queued(queue, "b", *[16] * 100, deadline=7.0)
    assert queue.held_up_by(request_of("c", *[16] * 12)) == [
        Prospect(deadline=5.0, tokens=2 * 128, with_another=3 * 128),
        Prospect(deadline=7.0, tokens=128 + 1600, with_another=128 + 1600 + 192),
    ]


def test_a_large_request_holds_up_the_last_of_the_small_ones_by_as_much_as_goes_before_it_at_most() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "x", 48, deadline=5.0)
    queued(queue, "y", 48, deadline=6.0)
    assert queue.held_up_by(request_of("c", *[16] * 5)) == [Prospect(deadline=6.0, tokens=96, with_another=96 + 80)]
    assert queue.held_up_by(request_of("c", *[16] * 99)) == [Prospect(deadline=6.0, tokens=96, with_another=96 + 96)]


def test_a_small_request_holds_up_nobody() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "a", *[16] * 8)
    queued(queue, "x", 48)
    assert queue.held_up_by(request_of("y", 48)) == []


def test_a_discarded_item_is_gone_and_discarding_it_again_changes_nothing() -> None:
    queue: FairQueue[str] = FairQueue(64)
    request = queued(queue, "a", 8, 8, 16)
    assert queue.discard(request, 8, "a0")
    assert not queue.discard(request, 8, "a0")
    assert batches(queue) == [["a1"], ["a2"]]
    assert not queue.discard(request, 16, "a2")


def test_a_request_without_items_leaves_the_queue() -> None:
    queue: FairQueue[str] = FairQueue(8)
    request = queued(queue, "a", 8, 16)
    assert queue.discard(request, 8, "a0")
    assert queue.discard(request, 16, "a1")
    assert not queue
    had_a_turn = queued(queue, "b", 8, 8)
    queue.take(now=0.0)
    assert queue.discard(had_a_turn, 8, "b1")
    assert not queue


def test_a_request_past_its_deadline_leaves_when_its_turn_comes() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "late", 8, 16, deadline=1.0)
    queued(queue, "a", 8)
    taken = queue.take(now=1.0)
    assert (taken.batch, taken.expired) == (["a0"], ["late0", "late1"])
    assert not queue


def test_a_request_past_its_deadline_takes_no_room_in_the_batch_of_another() -> None:
    queue: FairQueue[str] = FairQueue(16)
    queued(queue, "a", 8)
    queued(queue, "late", 8, 8, deadline=1.0)
    queued(queue, "b", 8)
    taken = queue.take(now=1.0)
    assert (taken.batch, taken.expired) == (["a0", "b0"], ["late0", "late1"])


def test_when_all_that_waits_is_late_there_is_no_batch() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "late", 8, deadline=1.0)
    taken = queue.take(now=2.0)
    assert (taken.batch, taken.expired) == ([], ["late0"])
    assert not queue


def test_clearing_returns_all_that_waited() -> None:
    queue: FairQueue[str] = FairQueue(8)
    queued(queue, "a", 8, 16)
    queue.take(now=0.0)
    queued(queue, "b", 8)
    assert sorted(queue.clear()) == ["a1", "b0"]
    assert not queue


def test_what_waits_is_divided_among_the_streams_that_are_idle() -> None:
    queue: FairQueue[str] = FairQueue(64, split=16)
    queued(queue, "a", *[8] * 6)
    assert queue.take(now=0.0, idle=2).batch == ["a0", "a1", "a2"]
    assert queue.take(now=0.0, idle=1).batch == ["a3", "a4", "a5"]


def test_little_is_not_divided() -> None:
    queue: FairQueue[str] = FairQueue(64, split=16)
    queued(queue, "a", 8, 8)
    assert queue.take(now=0.0, idle=2).batch == ["a0", "a1"]


def test_a_queue_that_divides_nothing_gives_one_stream_all() -> None:
    queue: FairQueue[str] = FairQueue(64)
    queued(queue, "a", *[8] * 6)
    assert len(queue.take(now=0.0, idle=2).batch) == 6
