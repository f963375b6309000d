"""Records stored soon, in batches, within bounds."""

import asyncio
from collections.abc import Mapping

from mlapi.cache.write_behind import WriteBehind
from tests.stores import until


class Server:
    """Takes a batch when `open` is set, and remembers those it was offered and those it took."""

    def __init__(self) -> None:
        self.offered: list[dict[bytes, bytes]] = []
        self.taken: list[dict[bytes, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, records: Mapping[bytes, bytes]) -> None:
        self.offered.append(dict(records))
        await self.open.wait()
        self.taken.append(dict(records))


def records(*names: str) -> dict[bytes, bytes]:
    return {name.encode(): b"1" for name in names}


async def test_what_is_added_in_one_turn_is_one_batch() -> None:
    server = Server()
    writes = WriteBehind(server.write)
    assert writes.add(records("a")) | writes.add(records("b", "c")) == set()
    assert server.offered == []
    await writes.flush()
    assert server.taken == [records("a", "b", "c")]


async def test_a_batch_has_a_size_and_the_order_is_kept() -> None:
    server = Server()
    writes = WriteBehind(server.write, max_batch=2)
    writes.add(records("a", "b", "c"))
    await writes.flush()
    assert server.taken == [records("a", "b"), records("c")]


async def test_what_does_not_fit_is_refused_and_counted() -> None:
    server = Server()
    server.open.clear()
    writes = WriteBehind(server.write, max_pending=2, max_batch=1)
    assert writes.add(records("a", "b", "c")) == {b"c"}
    await until(lambda: len(server.offered) == 1)
    assert writes.add(records("d", "e")) == {b"e"}
    server.open.set()
    await writes.flush()
    assert server.taken == [records("a"), records("b"), records("d")]


async def test_a_text_that_waits_already_takes_no_room_and_its_last_record_counts() -> None:
    server = Server()
    writes = WriteBehind(server.write, max_pending=1)
    assert writes.add({b"a": b"1"}) | writes.add({b"a": b"2"}) == set()
    await writes.flush()
    assert server.taken == [{b"a": b"2"}]


async def test_between_bursts_there_is_no_task() -> None:
    server = Server()
    writes = WriteBehind(server.write)
    for name in ("a", "b"):
        writes.add(records(name))
        await writes.flush()
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert server.taken == [records("a"), records("b")]


async def test_closing_writes_what_is_pending() -> None:
    server = Server()
    writes = WriteBehind(server.write, max_batch=1)
    writes.add(records("a", "b"))
    assert await writes.close(10.0) == set()
    assert server.taken == [records("a"), records("b")]


async def test_closing_gives_up_in_time_and_says_how_much() -> None:
    server = Server()
    server.open.clear()
    writes = WriteBehind(server.write, max_batch=2)
    writes.add(records("a", "b", "c"))
    assert await writes.close(0.01) == {b"a", b"b", b"c"}
    assert server.taken == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_gives_up_what_a_failure_that_nobody_foresaw_left_behind() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def write(_: Mapping[bytes, bytes]) -> None:
        raise ZeroDivisionError

    writes = WriteBehind(write, max_batch=1)
    writes.add(records("a", "b"))
    await writes.flush()
    assert await writes.close(10.0) == {b"b"}


async def test_after_a_failure_that_nobody_foresaw_the_next_records_are_written() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    server = Server()
    failures = [ZeroDivisionError()]

    async def write(batch: Mapping[bytes, bytes]) -> None:
        if failures:
            raise failures.pop()
        await server.write(batch)

    writes = WriteBehind(write)
    writes.add(records("a"))
    await writes.flush()
    writes.add(records("b"))
    await writes.flush()
    assert server.taken == [records("b")]
    assert [type(complaint) for complaint in complaints] == [ZeroDivisionError]
