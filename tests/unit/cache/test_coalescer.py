"""Look-ups of many callers as few trips."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from mlapi.cache.coalescer import Answers, Coalescer, Trip
from tests.stores import fetch, prediction, texts, until

A, B, C, D, E = texts(5)
FOUND = prediction()


class Server:
    """Knows every text but C; answers when `open` is set, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.expired: list[Trip] = []
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, trip: Trip) -> Answers:
        self.asked.append(list(trip.digests))
        await self.open.wait()
        return dict.fromkeys((digest for digest in trip.digests if digest != C), FOUND)

    def coalescer(self, *, timeout_s: float = 10.0, max_keys: int = 512, max_in_flight: int = 4) -> Coalescer:
        return Coalescer(
            self.ask,
            self.expired.append,
            clock=time.monotonic,
            timeout_s=timeout_s,
            max_keys=max_keys,
            max_in_flight=max_in_flight,
        )


async def test_answers_come_in_the_order_asked_for_with_gaps() -> None:
    server = Server()
    assert await fetch(server.coalescer(), [B, C, A, B]) == [FOUND, None, FOUND, FOUND]


async def test_callers_of_one_turn_travel_together_and_ask_each_text_once() -> None:
    server = Server()
    coalescer = server.coalescer()
    found = await asyncio.gather(*(fetch(coalescer, keys) for keys in ([A, B], [B, C], [D])))
    assert list(found) == [[FOUND, FOUND], [FOUND, None], [FOUND]]
    assert server.asked == [[A, B, C, D]]


async def test_nothing_asked_is_nothing_sent() -> None:
    server = Server()
    assert await fetch(server.coalescer(), []) == []
    assert server.asked == []


async def test_a_trip_takes_so_many_texts_and_the_next_one_the_rest() -> None:
    server = Server()
    coalescer = server.coalescer(max_keys=2)
    found = await asyncio.gather(fetch(coalescer, [A]), fetch(coalescer, [B, C, D, E]))
    assert list(found) == [[FOUND], [FOUND, None, FOUND, FOUND]]
    assert server.asked == [[A, B], [C, D], [E]]


async def test_while_all_trips_are_under_way_the_next_one_fills_up() -> None:
    server = Server()
    server.open.clear()
    coalescer = server.coalescer(max_in_flight=1)
    callers = [asyncio.create_task(fetch(coalescer, [A]))]
    await until(lambda: len(server.asked) == 1)
    for key in (B, C, D):
        callers.append(asyncio.create_task(fetch(coalescer, [key])))
        await asyncio.sleep(0)
    server.open.set()
    assert await asyncio.gather(*callers) == [[FOUND], [FOUND], [None], [FOUND]]
    assert server.asked == [[A], [B, C, D]]


async def test_cancelling_one_caller_leaves_the_others_their_answer() -> None:
    server = Server()
    server.open.clear()
    coalescer = server.coalescer()
    impatient, patient = (asyncio.create_task(fetch(coalescer, [A])) for _ in range(2))
    await until(lambda: len(server.asked) == 1)
    impatient.cancel()
    await asyncio.wait({impatient})
    server.open.set()
    assert await patient == [FOUND]
    assert impatient.cancelled()


async def test_a_caller_leaves_when_its_time_is_up_whether_its_trip_was_sent_or_not() -> None:
    server = Server()
    server.open.clear()
    coalescer = server.coalescer(timeout_s=0.01, max_keys=1, max_in_flight=1)
    assert await fetch(coalescer, [A, B]) == [None, None]
    assert server.asked == [[A]]
    assert [list(trip.digests) for trip in server.expired] == [[A], [B]]
    await coalescer.close()


async def test_an_answer_that_comes_too_late_frees_its_place_for_the_next_trip() -> None:
    server = Server()
    server.open.clear()
    coalescer = server.coalescer(timeout_s=0.01, max_in_flight=1)
    assert await fetch(coalescer, [A]) == [None]
    server.open.set()
    await asyncio.sleep(0)
    assert await fetch(coalescer, [B]) == [FOUND]
    assert len(server.expired) == 1


async def test_a_failure_that_nobody_foresaw_is_a_miss_and_is_reported() -> None:
    complaints: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    async def ask(_: Trip) -> Answers:
        raise ZeroDivisionError

    coalescer = Coalescer(ask, lambda _: None, clock=time.monotonic, timeout_s=10.0)
    assert await fetch(coalescer, [A]) == [None]
    await until(lambda: len(complaints) == 1)
    assert isinstance(complaints[0], ZeroDivisionError)


async def test_a_caller_without_a_task_is_called_back_with_all_parts_of_its_answer() -> None:
    server = Server()
    found: list[object] = []
    server.coalescer(max_keys=2).request([A, B, C, D, A], found.append)
    assert found == []
    await until(lambda: bool(found))
    assert found == [[FOUND, FOUND, None, FOUND, FOUND]]
    assert server.asked == [[A, B], [C, D], [A]]


async def test_a_caller_that_fails_with_its_answer_leaves_the_others_theirs() -> None:
    complaints: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    coalescer = Server().coalescer()
    coalescer.request([A], lambda _: complaints.append(1 / 0))  # type: ignore[arg-type]
    assert await fetch(coalescer, [A]) == [FOUND]
    assert [type(complaint) for complaint in complaints] == [ZeroDivisionError]


async def test_closing_answers_everyone_and_leaves_no_task() -> None:
    server = Server()
    server.open.clear()
    coalescer = server.coalescer(max_keys=1, max_in_flight=1)
    caller = asyncio.create_task(fetch(coalescer, [A, B]))
    await until(lambda: len(server.asked) == 1)
    late = asyncio.create_task(fetch(coalescer, [C]))
    await asyncio.sleep(0)
    await coalescer.close()
    assert (await caller, await late) == ([None, None], [None])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_reply_that_came_while_the_event_loop_was_busy_is_in_time(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    timeout_s = 0.05

    async def look_up() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.settimeout(0)

        async def ask(trip: Trip) -> Answers:
            loop.call_soon(reply_and_block)
            await loop.sock_recv(ours, 1)
            return dict.fromkeys(trip.digests, FOUND)

        def reply_and_block() -> None:
            theirs.send(b"!")
            time.sleep(1.5 * timeout_s)

        expired: list[Trip] = []
        with ours, theirs:
            coalescer = Coalescer(ask, expired.append, clock=time.monotonic, timeout_s=timeout_s)
            assert await fetch(coalescer, [A]) == [FOUND]
        assert expired == []

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(look_up())
