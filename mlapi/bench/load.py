"""Drives an HTTP/1.1 server over keep-alive connections and takes down how it answered.

One event loop, one callback an answer, no tasks: the client must cost less than the servers that it measures. Requests
are bytes made beforehand. A closed loop sends a connection's next request when its answer has come; an open loop sends
at fixed times, whatever the server does, and measures from the time at which a request was *due*, so that a stalled
server cannot hide the requests that it held up ("coordinated omission",
https://www.infoq.com/presentations/latency-response-time/).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mlapi.bench.connection import Connection
from mlapi.bench.outcome import OK, Outcome

_TIMER_S: Final = 0.001
"""How finely the event loop's timers go, seconds; what is due sooner than they can tell is polled for."""


class LoadError(Exception):
    """The server cannot be measured: it cannot be reached, or it hangs; the message says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens; `root` is what a request's path begins with, `headers` is what each carries."""

    host: str
    port: int
    root: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        """Host and port as URLs and the header `Host` have them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def post(
        self, path: str, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return a POST request as bytes, with further headers before its length."""
        fields = {"host": self.authority, "content-type": content_type, **self.headers} | dict(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.root}{path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body

    def get(self, path: str) -> bytes:
        """Return a GET request as bytes."""
        fields = {"host": self.authority, **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"GET {self.root}{path} HTTP/1.1\r\n{head}\r\n".encode()


class _Loop:
    """What both kinds of loop share: the connections, the record, and when it is over."""

    def __init__(self, target: Target, clock: Callable[[], float], on_answer: Callable[[bytes], None] | None) -> None:
        self.outcome = Outcome()
        self._target = target
        self._clock = clock
        self._on_answer = on_answer
        self._running = asyncio.get_running_loop()
        self._done = self._running.create_future()
        self._connections: set[Connection] = set()
        self._reconnecting: set[asyncio.Task[None]] = set()

    async def run(self, connections: int, timeout_s: float) -> Outcome:
        try:
            opened = [await self._connect() for _ in range(connections)]
            started = self._clock()
            self.begin(started, opened)
            async with asyncio.timeout(timeout_s):
                await self._done
        except OSError as error:
            msg = f"cannot connect to {self._target.authority}: {error}"
            # The system's own time-out, of a connection, has a number.
            if isinstance(error, TimeoutError) and error.errno is None:
                msg = f"no answer to some requests after {timeout_s:g} s; {self.outcome.answered} were answered"
            raise LoadError(msg) from error
        finally:
            self._close()
        self.outcome.seconds = self._clock() - started
        return self.outcome

    def begin(self, started: float, connections: list[Connection]) -> None:
        raise NotImplementedError

    def proceed(self, connection: Connection, now: float) -> None:
        raise NotImplementedError

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        now = self._clock()
        self.outcome.statuses[status] += 1
        if status == OK:
            self.outcome.latencies_s.append(now - connection.due)
            if self._on_answer:
                self._on_answer(body)
        # One that the server closes is replaced first.
        if not connection.closing:
            self.proceed(connection, now)

    def disconnected(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._done.done():
            return
        self.outcome.lost += connection.busy
        task = self._running.create_task(self._replace())
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    def finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    async def _connect(self) -> Connection:
        _, connection = await self._running.create_connection(
            lambda: Connection(self), self._target.host, self._target.port
        )
        self._connections.add(connection)
        return connection

    async def _replace(self) -> None:
        try:
            connection = await self._connect()
        except OSError as error:
            if not self._done.done():
                self._done.set_exception(error)
            return
        self.proceed(connection, self._clock())

    def _close(self) -> None:
        self.finish()
        for task in self._reconnecting:
            task.cancel()
        for connection in self._connections:
            connection.transport.abort()


class _ClosedLoop(_Loop):
    """Each connection sends its next request when its answer has come."""

    def plan(self, requests: Iterator[bytes], seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds

    def begin(self, started: float, connections: list[Connection]) -> None:
        self._until = started + self._seconds
        self._active = len(connections)
        for connection in connections:
            self.proceed(connection, started)

    def proceed(self, connection: Connection, now: float) -> None:
        request = next(self._requests, None) if now < self._until else None
        if request is not None:
            connection.send(request, now)
            return
        self._active -= 1
        if not self._active:
            self.finish()


class _OpenLoop(_Loop):
    """Requests are sent when they are due, on whichever connection is free, or as soon as one is."""

    def plan(self, requests: Iterator[bytes], rate: float, count: int) -> None:
        self._requests = requests
        self._gap = 1.0 / rate
        self._left = count
        self._overdue: deque[tuple[bytes, float]] = deque()

    def begin(self, started: float, connections: list[Connection]) -> None:
        self._free = connections
        self._next_due = started
        self._send_due()

    def proceed(self, connection: Connection, now: float) -> None:
        del now
        if self._overdue:
            connection.send(*self._overdue.popleft())
            return
        self._free.append(connection)
        if not self._left and len(self._free) == len(self._connections):
            self.finish()

    def disconnected(self, connection: Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)
        super().disconnected(connection)

    def _send_due(self) -> None:
        if self._done.done():
            return
        now = self._clock()
        while self._left and self._next_due <= now:
            request, due = next(self._requests), self._next_due
            self._left -= 1
            self._next_due += self._gap
            if self._free:
                self._free.pop().send(request, due)
            else:
                self._overdue.append((request, due))
        if not self._left:
            return
        pause = self._next_due - now - _TIMER_S
        if pause > _TIMER_S:
            self._running.call_later(pause, self._send_due)
        else:
            self._running.call_soon(self._send_due)


async def closed_loop(
    target: Target,
    requests: Iterator[bytes],
    *,
    connections: int,
    clock: Callable[[], float],
    seconds: float = float("inf"),
    timeout_s: float = 600.0,
    on_answer: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Send requests as fast as they are answered, until there are no more or `seconds` have passed.

    Args:
        target: the server.
        requests: what to send, in order, shared by all connections.
        connections: how many requests may be under way at once.
        clock: tells seconds.
        seconds: when to stop sending; what is under way then is waited for.
        timeout_s: when to give up.
        on_answer: is given each good answer's body, as it was sent.

    Raises:
        LoadError: the server cannot be reached, or was not done in time.
    """
    loop = _ClosedLoop(target, clock, on_answer)
    loop.plan(requests, seconds)
    return await loop.run(connections, timeout_s)


async def open_loop(
    target: Target,
    requests: Iterator[bytes],
    *,
    rate: float,
    count: int,
    connections: int,
    clock: Callable[[], float],
    timeout_s: float = 600.0,
) -> Outcome:
    """Send `count` requests, `rate` a second at even distances; latencies count from when each was due.

    Args:
        target: the server.
        requests: what to send, in order; at least `count`.
        rate: requests a second.
        count: how many.
        connections: how many requests may be under way at once; more that are due wait, and their wait counts.
        clock: tells seconds.
        timeout_s: when to give up.

    Raises:
        LoadError: the server cannot be reached, or was not done in time.
    """
    loop = _OpenLoop(target, clock, None)
    loop.plan(requests, rate, count)
    return await loop.run(connections, timeout_s)
