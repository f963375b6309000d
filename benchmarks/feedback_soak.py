"""Sends opinions for minutes while PostgreSQL is killed once, and looks for every one that was acknowledged.

`python -m benchmarks.feedback_soak --rate 200 --seconds 300`. It starts a PostgreSQL of its own, whose commits
reach the disk, and `mlapi learn serve`. Opinions are sent at their times, whatever became of those before them. It
fails if an acknowledged opinion is not in the store, if anything but 201 and 503 was answered, if the rate was not
kept, or if nothing was refused: then the outage was not seen.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psycopg

from mlapi.bench.connection import Connection
from mlapi.cache.keys import KeyMaker
from mlapi.feedback.answer_ids import AnswerIds
from mlapi.feedback.keys import FeedbackKeys, read_keys
from tools.private_postgres import PrivatePostgres
from tools.private_redis import free_port

_HOST: Final = "127.0.0.1"
_TEXTS: Final = 500
_DIGEST: Final = "0f" * 16
_START_S: Final = 60.0
_KEPT_SHARE: Final = 0.95
"""Of the rate: a machine that is too slow to send has measured nothing."""


@dataclass(slots=True)
class Tally:
    """What was answered: how often which status, to whom 201, after how many seconds; and how long sending took."""

    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    took_s: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback_soak", description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="opinions a second (default 200)")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (default 300)")
    parser.add_argument("--outage", type=float, default=5.0, help="seconds without a database (default 5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, PrivatePostgres(durable=True) as postgres:
        file = Path(folder) / "key"
        keys = read_keys(file, create=True)
        port = free_port()
        environment = _environment(postgres.url, file, port)
        process = subprocess.Popen([sys.executable, "-m", "mlapi", "learn", "serve"], env=environment)
        try:
            tally = asyncio.run(_soak(options, port, keys, postgres))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        missing = tally.acknowledged - _stored(postgres.url)
        verified = subprocess.run([sys.executable, "-m", "mlapi", "learn", "verify"], env=environment, check=False)
        return _report(tally, options, missing=len(missing), verified=verified.returncode == 0)


class _Clients:
    """Connections that send opinions; as many as there are answers due."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._port = port
        self._tally = tally
        self._idle: list[Connection] = []
        self._due: dict[Connection, tuple[str, str]] = {}
        self._settled = asyncio.Event()

    async def send(self, request: bytes, vote: tuple[str, str]) -> None:
        """Send one opinion, by an idle connection or a new one; `vote` is what stands for it in the store."""
        while self._idle and self._idle[-1].closing:
            self._idle.pop()
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: Connection(self), _HOST, self._port)
        self._due[connection] = vote
        self._settled.clear()
        connection.send(request, time.monotonic())

    async def finish(self) -> None:
        """Wait until all have been answered, or their connections have ended."""
        await self._settled.wait()
        for connection in self._idle:
            connection.transport.close()

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """Count an answer."""
        del body
        vote = self._due.pop(connection)
        self._tally.statuses[status] += 1
        self._tally.seconds.append(time.monotonic() - connection.due)
        if status == httpx.codes.CREATED:
            self._tally.acknowledged.add(vote)
        self._idle.append(connection)
        self._settle()

    def disconnected(self, connection: Connection) -> None:
        """Count an opinion that nobody answered."""
        if self._due.pop(connection, None):
            self._tally.statuses[0] += 1
            self._settle()

    def _settle(self) -> None:
        if not self._due:
            self._settled.set()


async def _soak(options: argparse.Namespace, port: int, keys: FeedbackKeys, postgres: PrivatePostgres) -> Tally:
    tally = Tally()
    ids = _answers(keys)
    await _ready(port)
    clients = _Clients(port, tally)
    began = time.monotonic()
    kill_at, restart_at = began + options.seconds / 2, began + options.seconds / 2 + options.outage
    killed = restarted = False
    restart_s = 0.0
    for number in range(int(options.rate * options.seconds)):
        await asyncio.sleep(max(0.0, began + number / options.rate - time.monotonic()))
        now = time.monotonic()
        if not killed and now >= kill_at:
            postgres.kill()
            killed = True
        if not restarted and now >= restart_at:
            # PostgreSQL replays its log before it answers again. Opinions that are due meanwhile are sent late.
            postgres.restart()
            restarted = True
            restart_s = time.monotonic() - now
        answer_id, name = ids[number % _TEXTS]
        user = f"user {number}"
        body = f'{{"id": "{answer_id}", "label": "POSITIVE"}}'
        head = f"POST /project/feedback HTTP/1.1\r\nhost: {_HOST}\r\nx-user: {user}\r\ncontent-length: {len(body)}"
        await clients.send(f"{head}\r\n\r\n{body}".encode(), (keys.pseudonym("subjects", user.encode()), name))
    # The restart held up the sending itself, which then sent faster for a while.
    tally.took_s = time.monotonic() - began - restart_s
    await clients.finish()
    if not restarted:
        postgres.restart()
    return tally


def _answers(keys: FeedbackKeys) -> list[tuple[str, str]]:
    """Return ids as a service would give them, each with what stands for it in the store."""
    ids, maker = AnswerIds(keys, "project", share=0.01, draw=lambda: 0.5), KeyMaker(_DIGEST)
    found = []
    for number in range(_TEXTS):
        digest = maker.digest(b"text %d" % number)
        name = keys.pseudonym("answers", b"project", digest[:16], _DIGEST.encode())
        found.append((ids.write(digest, _DIGEST, 1, 0.75)[0], name))
    return found


def _stored(url: str) -> set[tuple[str, str]]:
    query = (
        "SELECT s.pseudonym, a.answer FROM opinions o "
        "JOIN subjects s ON s.id = o.subject JOIN answers a ON a.item = o.item"
    )
    with psycopg.connect(url) as connection:
        return {(subject, answer) for subject, answer in connection.execute(query)}


async def _ready(port: int) -> None:
    give_up_at = time.monotonic() + _START_S
    async with httpx.AsyncClient(base_url=f"http://{_HOST}:{port}") as client:
        while True:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.HTTPError:
                if time.monotonic() > give_up_at:
                    raise
            await asyncio.sleep(0.05)


def _environment(url: str, file: Path, port: int) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLAPI_")}
    return inherited | {
        "MLAPI_HOST": _HOST,
        "MLAPI_PORT": str(port),
        "MLAPI_DRAIN_S": "0",
        "MLAPI_LOG_LEVEL": "warning",
        "MLAPI_FEEDBACK_URL": url,
        "MLAPI_FEEDBACK_KEY_FILE": str(file),
        "MLAPI_FEEDBACK_VOTES_PER_MINUTE": "0",
        "MLAPI_CLIENT_HEADER": "x-user",
    }


def _report(tally: Tally, options: argparse.Namespace, *, missing: int, verified: bool) -> int:
    sent, wanted = sum(tally.statuses.values()), options.rate * options.seconds
    seconds = sorted(tally.seconds) or [0.0]
    shown = {status or "no answer": count for status, count in sorted(tally.statuses.items())}
    half, most = (seconds[int(share * (len(seconds) - 1))] * 1e3 for share in (0.5, 0.99))
    lines = [
        f"sent {sent} of {wanted:.0f} in {tally.took_s:.1f} s; answers {shown}; acknowledged and not stored: {missing}",
        f"time of an answer: median {half:.1f} ms, p99 {most:.1f} ms, longest {seconds[-1] * 1e3:.0f} ms",
        f"chain verified: {verified}",
    ]
    faults = [
        (missing > 0, "an acknowledged opinion is missing"),
        (not verified, "the chain of events is broken"),
        (bool(set(tally.statuses) - {201, 503}), "something else than 201 and 503 was answered"),
        (sent < _KEPT_SHARE * options.rate * max(tally.took_s, options.seconds), "the rate was not kept"),
        (not tally.statuses[503], "the outage was not seen"),
        (not tally.statuses[201], "nothing was acknowledged"),
    ]
    failed = [f"FAILED: {words}" for wrong, words in faults if wrong]
    sys.stdout.write("\n".join([*lines, *failed]) + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
