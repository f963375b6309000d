import asyncio
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from mlapi.bench.load import LoadError, Target, closed_loop, open_loop
from mlapi.bench.outcome import Outcome

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.ensure_future(handle(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1])
    await asyncio.gather(*handling)


def answering(*parts: bytes, close: bool = False) -> Handler:
    """A handler that answers every request with these bytes, a piece at a time."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _read_request(reader):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                break

    return handle


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def requests(target: Target, count: int) -> Iterator[bytes]:
    return repeat(target.get("/"), count)


async def closed(target: Target, count: int, connections: int = 2) -> tuple[Outcome, list[bytes]]:
    bodies: list[bytes] = []
    outcome = await closed_loop(
        target,
        requests(target, count),
        connections=connections,
        clock=time.perf_counter,
        timeout_s=10,
        on_answer=bodies.append,
    )
    return outcome, bodies


async def test_every_request_is_sent_once_and_counted() -> None:
    async with serving(answering(GOOD)) as target:
        outcome, bodies = await closed(target, 25, connections=4)
    assert (outcome.answered, outcome.failed, bodies) == (25, 0, [b"ok"] * 25)


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 6\r\n\r\nabc", b"def"), b"abcdef"),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n"),
            b"3\r\nabc\r\n0\r\n\r\n",
        ),
    ],
    ids=["a body in pieces", "chunks"],
)
async def test_an_answer_is_complete_when_all_of_it_is_there(parts: tuple[bytes, ...], body: bytes) -> None:
    async with serving(answering(*parts)) as target:
        outcome, bodies = await closed(target, 3)
    assert (outcome.answered, bodies) == (3, [body] * 3)


async def test_other_statuses_are_failures_and_have_no_latency() -> None:
    async with serving(answering(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")) as target:
        outcome, _ = await closed(target, 5)
    assert (outcome.answered, outcome.failed, dict(outcome.statuses)) == (0, 5, {503: 5})


async def test_a_closed_connection_is_opened_again() -> None:
    last = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(answering(last, close=True)) as target:
        outcome, _ = await closed(target, 6, connections=1)
    assert (outcome.answered, outcome.failed) == (6, 0)


async def test_an_answer_that_breaks_off_is_lost() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", close=True)) as target:
        outcome, _ = await closed(target, 4, connections=1)
    assert (outcome.answered, outcome.lost, outcome.failed) == (0, 4, 4)


async def test_a_server_that_hangs_is_given_up() -> None:
    async with serving(answering()) as target:
        with pytest.raises(LoadError, match="no answer"):
            await closed_loop(target, requests(target, 1), connections=1, clock=time.perf_counter, timeout_s=0.05)


async def test_a_server_that_is_not_there_is_reported() -> None:
    async with serving(answering(GOOD)) as target:
        pass
    with pytest.raises(LoadError, match="cannot connect"):
        await closed(target, 1)


async def test_a_server_that_cannot_be_reached_in_the_systems_own_time_is_not_said_to_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def create_connection(*_: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    with pytest.raises(LoadError, match=r"cannot connect to localhost:80: .*timed out"):
        await closed(Target("localhost", 80), 1)


async def test_an_open_loop_counts_the_wait_of_requests_that_a_stall_held_up() -> None:
    stall_s, rate = 0.3, 100.0
    first = True

    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        while await _read_request(reader):
            if first:
                first = False
                await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=stall_s)
            writer.write(GOOD)

    async with serving(stalling) as target:
        outcome = await open_loop(
            target, requests(target, 60), rate=rate, count=60, connections=1, clock=time.perf_counter, timeout_s=10
        )
    assert outcome.answered == 60
    # Thirty requests were due during the stall: half of them waited at least half as long.
    assert outcome.quantile_s(1.0) >= stall_s
    assert outcome.quantile_s(0.75) >= stall_s / 2 * 0.9
    assert outcome.seconds >= 59 / rate


@pytest.mark.parametrize(("host", "sent"), [("127.0.0.1", "127.0.0.1:8000"), ("::1", "[::1]:8000")])
def test_the_host_header_has_an_ipv6_address_in_brackets(host: str, sent: str) -> None:
    target = Target(host, 8000, "/project")
    for request in (target.get("/health"), target.post("/predict", b"{}")):
        assert f"\r\nhost: {sent}\r\n".encode() in request


def test_quantiles_are_nearest_ranks() -> None:
    outcome = Outcome()
    outcome.latencies_s.extend([4.0, 1.0, 3.0, 2.0])
    assert [outcome.quantile_s(share) for share in (0.0, 0.25, 0.5, 0.51, 0.99, 1.0)] == [1, 1, 2, 3, 4, 4]


def test_there_are_no_quantiles_of_nothing() -> None:
    assert str(Outcome().quantile_s(0.5)) == "nan"
