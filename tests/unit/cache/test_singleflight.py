"""One computation per key for all who want it at once."""

import asyncio
import gc

import pytest

from mlapi.cache.singleflight import SingleFlight

A, B, C = b"a", b"b", b"c"


async def test_the_first_to_claim_a_key_leads_and_the_others_follow() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as first, flights.claim([B, C], store=True) as second:
        assert (list(first.leads), list(second.leads)) == ([True, True], [False, True])
        assert [flight.key for flight in second.led] == [C]
        assert first.flights[1] is second.flights[0]


async def test_everyone_gets_the_result_of_the_one_computation_in_the_order_claimed() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as first, flights.claim([B, A], store=True) as second:
        for result, flight in enumerate(first.led):
            flight.land(result)
        assert await first.results(None) == [0, 1]
        assert await second.results(None) == [1, 0]


async def test_results_that_come_while_waiting_are_returned() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as claim:
        for flight in claim.led:
            asyncio.get_running_loop().call_soon(flight.land, 7)
        assert await claim.results(10) == [7, 7]


async def test_a_key_that_one_caller_claims_twice_is_computed_once() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, A], store=True) as claim:
        (flight,) = claim.led
        flight.land(5)
        assert await claim.results(None) == [5, 5]
    assert flight.waiters == 0


async def test_a_flight_that_landed_is_over_while_its_callers_still_hold_it() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A], store=True) as first:
        first.flights[0].land(1)
        assert len(flights) == 0
        with flights.claim([A], store=True) as second:
            assert list(second.leads) == [True]


async def test_an_error_reaches_every_caller_at_once_and_is_not_remembered() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as first, flights.claim([B], store=True) as second:
        first.flights[1].crash(RuntimeError("the model failed"))
        with pytest.raises(RuntimeError, match="the model failed"):
            await first.results(None)
        with pytest.raises(RuntimeError, match="the model failed"):
            await second.results(None)
    with flights.claim([B], store=True) as third:
        assert list(third.leads) == [True]


async def test_an_error_knows_only_the_frames_of_the_caller_that_it_was_raised_for_last() -> None:
    flights = SingleFlight[int]()

    async def first() -> None:
        await claim.results(None)

    async def second() -> None:
        await claim.results(None)

    with flights.claim([A], store=True) as claim:
        claim.flights[0].crash(RuntimeError("the model failed"))
        with pytest.raises(RuntimeError):
            await first()
        with pytest.raises(RuntimeError) as caught:
            await second()
    names = {entry.name for entry in caught.traceback}
    assert "second" in names
    assert "first" not in names


async def test_an_error_ends_the_wait_for_results_that_are_still_due() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as claim:
        asyncio.get_running_loop().call_soon(claim.flights[1].crash, RuntimeError("the model failed"))
        with pytest.raises(RuntimeError, match="the model failed"):
            await claim.results(10)


async def test_an_error_that_nobody_stayed_for_warns_of_nothing() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    flights = SingleFlight[int]()
    with flights.claim([A], store=True) as claim:
        claim.flights[0].crash(RuntimeError("the model failed"))
    del claim
    gc.collect()
    assert complaints == []


async def test_waiting_ends_with_the_deadline() -> None:
    flights = SingleFlight[int]()
    with flights.claim([A, B], store=True) as claim:
        claim.flights[0].land(1)
        with pytest.raises(TimeoutError):
            await claim.results(0.001)


async def test_the_last_to_leave_a_flight_under_way_cancels_it() -> None:
    flights = SingleFlight[int]()
    first, second = flights.claim([A], store=True), flights.claim([A], store=True)
    future = first.flights[0].future
    first.release()
    assert not future.done()
    second.release()
    assert future.cancelled()
    assert len(flights) == 0


async def test_after_everyone_left_the_next_caller_starts_anew() -> None:
    flights = SingleFlight[int]()
    flights.claim([A], store=True).release()
    with flights.claim([A], store=True) as claim:
        assert list(claim.leads) == [True]
        assert not claim.flights[0].future.done()


async def test_the_end_of_a_cancelled_flight_does_not_touch_its_successor() -> None:
    flights = SingleFlight[int]()
    abandoned = flights.claim([A], store=True)
    (flight,) = abandoned.led
    abandoned.release()
    with flights.claim([A], store=True) as claim:
        flight.land(1)
        flight.crash(RuntimeError("late"))
        assert len(flights) == 1
        claim.flights[0].land(2)
        assert await claim.results(None) == [2]


async def test_a_caller_that_is_cancelled_leaves_the_others_their_flight() -> None:
    flights = SingleFlight[int]()

    async def call() -> list[int]:
        with flights.claim([A], store=True) as claim:
            return await claim.results(10)

    leader, follower = asyncio.create_task(call()), asyncio.create_task(call())
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    with flights.claim([A], store=True) as claim:
        assert list(claim.leads) == [False]
        claim.flights[0].land(3)
    assert await follower == [3]


@pytest.mark.parametrize(("wishes", "stored"), [((False, False), False), ((False, True), True), ((True, False), True)])
async def test_a_result_is_stored_if_anyone_wants_it_stored(wishes: tuple[bool, bool], *, stored: bool) -> None:
    flights = SingleFlight[int]()
    with flights.claim([A], store=wishes[0]) as claim, flights.claim([A], store=wishes[1]):
        assert claim.flights[0].store is stored


async def test_releasing_twice_is_releasing_once() -> None:
    flights = SingleFlight[int]()
    first = flights.claim([A], store=True)
    with flights.claim([A], store=True) as second:
        first.release()
        first.release()
        assert not second.flights[0].future.done()
