"""Slow, broken, oversized and hostile callers, and how each of them has to end."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from mlapi.access.key_text import ApiKey, make_key
from soak.corpus import read_corpus
from soak.fleet import Fleet
from soak.ledger import Ledger
from soak.reference import Reference
from soak.traffic import ways
from soak.wire import LostError, Wire, gzip, post
from tests.e2e.api_keys import bearer
from tests.e2e.dialects import DIALECTS

_TRICKLE_S: Final = 0.2
_PATIENCE_S: Final = 90.0
_AT_A_TIME: Final = 24
_MIB: Final = 1024 * 1024
_SERVER_FAULTS: Final = range(500, 600)


class Attack(NamedTuple):
    """One kind: what it does, given a fresh connection, and how often it is chosen."""

    run: Callable[[Wire], Awaitable[str]]
    weight: int


class Attacks:
    """Attacks the process that lives as long as the soak; an attack returns what was wrong, if anything."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        reference: Reference,
        keys: Mapping[str, ApiKey],
        corpus: Path,
        ledger: Ledger,
        rng: random.Random,
    ) -> None:
        """Take two keys: `free` may ask for everything, `lab` for one model."""
        self._fleet = fleet
        self._reference = reference
        self._keys = keys
        self._ledger = ledger
        self._rng = rng
        self._corpus = read_corpus(corpus)
        self._ways = ways(tuple(reference.texts))
        self.all = {
            "no key": Attack(self._no_key, 4),
            "an unknown key": Attack(self._unknown_key, 4),
            "a key for another model": Attack(self._forbidden, 4),
            "a request of the corpus": Attack(self._of_corpus, 30),
            "a request with a few bytes changed": Attack(self._mutated, 30),
            "a head that trickles": Attack(self._slow_head, 2),
            "a body that trickles": Attack(self._slow_body, 2),
            "a connection without a request": Attack(self._idle, 2),
            "an answer that is read slowly": Attack(self._slow_reader, 1),
            "a body that breaks off": Attack(self._broken_body, 4),
            "a caller who goes without the answer": Attack(self._gone, 4),
            "a body that is too long by its length": Attack(self._declared, 4),
            "chunks without an end": Attack(self._chunks, 1),
            "a head without an end": Attack(self._endless_head, 2),
            "a body that unpacks to too much": Attack(self._bomb, 2),
            "more texts than a request may hold": Attack(self._too_many, 1),
            "requests sent ahead": Attack(self._ahead, 4),
        }

    async def run(self, rate: float, over: Callable[[], bool]) -> None:
        """Attack `rate` times a second until it is over."""
        names, free = [*self.all], asyncio.Semaphore(_AT_A_TIME)
        weights = [attack.weight for attack in self.all.values()]
        async with asyncio.TaskGroup() as group:
            # Each kind once before chance decides.
            for name in names:
                await free.acquire()
                group.create_task(self._attack(name, free))
            while not over():
                await asyncio.sleep(self._rng.expovariate(rate))
                await free.acquire()
                group.create_task(self._attack(self._rng.choices(names, weights)[0], free))

    async def _attack(self, name: str, free: asyncio.Semaphore) -> None:
        try:
            wire = await Wire.connect(self._fleet.elder.port)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    wrong = await self.all[name].run(wire)
            finally:
                wire.abort()
        except Exception as error:  # noqa: BLE001  whatever an attack meets that it does not expect
            wrong = repr(error)
        finally:
            free.release()
        if wrong:
            self._ledger.fail("an attack ended wrongly", f"{name}: {wrong}")
        else:
            self._ledger.attacks[name] += 1

    def _request(self, headers: Mapping[str, str], texts: Sequence[str] | None = None, root: str = "/project") -> bytes:
        body = json.dumps({"text": texts or [self._rng.choice(self._reference.texts[root])]}).encode()
        return post(f"{root}/predict", body, headers)

    async def _ends(self, wire: Wire, data: bytes, status: int, *, closes: bool = False) -> str:
        """Send bytes, and expect a status, and perhaps the end of the connection."""
        with suppress(OSError):  # refused before all of it was sent
            await wire.send(data)
        answer = await wire.read()
        if answer.status != status:
            return f"{answer.words} instead of {status}"
        if closes and not await wire.is_closed():
            return "the connection stayed open"
        return ""

    async def _no_key(self, wire: Wire) -> str:
        return await self._ends(wire, self._request({}), 401)

    async def _unknown_key(self, wire: Wire) -> str:
        known_id = self._keys["free"].id
        return await self._ends(wire, self._request(bearer(make_key(self._rng.choice([known_id, "abcdefgh"])))), 401)

    async def _forbidden(self, wire: Wire) -> str:
        return await self._ends(wire, self._request(bearer(self._keys["lab"])), 403)

    async def _of_corpus(self, wire: Wire) -> str:
        entry = self._rng.choice(self._corpus)
        await wire.send(entry.request(bearer(self._keys["free"])))
        if entry.ends:
            wire.writer.write_eof()
        status = (await wire.read()).status if entry.status else 0 if await wire.is_closed() else 200
        return "" if status == entry.status else f"{entry.name}: {status}"

    async def _mutated(self, wire: Wire) -> str:
        """Change some bytes of a good request: any answer will do that is not the server's fault."""
        way = self._rng.choice(self._ways)
        path, body, headers = way.dialect.request(["good film"], path=way.path, root=way.root)
        data = bytearray(post(path, body, headers | bearer(self._keys["free"])))
        for _ in range(self._rng.randint(1, 4)):
            place = self._rng.randrange(len(data))
            data[place : place + self._rng.randint(0, 3)] = self._rng.randbytes(self._rng.randint(0, 3))
        await wire.send(bytes(data))
        wire.writer.write_eof()
        try:
            answer = await wire.read()
        except LostError:
            return ""  # it was less than a request
        return f"{answer.words} to {bytes(data)!r}" if answer.status in _SERVER_FAULTS else ""

    async def _slow_head(self, wire: Wire) -> str:
        return await self._trickle(wire, b"POST /project/predict HTTP/1.1\r\nHost: soak\r\nX-A: ")

    async def _slow_body(self, wire: Wire) -> str:
        return await self._trickle(wire, self._request(bearer(self._keys["free"]) | {"content-length": "100000"}))

    async def _trickle(self, wire: Wire, start: bytes) -> str:
        await wire.send(start)
        reading = asyncio.ensure_future(wire.read())
        while not reading.done():
            try:
                await wire.send(b" ")
            except OSError:
                break
            await asyncio.wait((reading,), timeout=_TRICKLE_S)
        answer = await reading
        return "" if answer.status == httpx.codes.REQUEST_TIMEOUT else f"{answer.words} instead of 408"

    async def _idle(self, wire: Wire) -> str:
        return "" if await wire.is_closed() else "it was answered"

    async def _slow_reader(self, wire: Wire) -> str:
        """Read a long answer slowly."""
        texts = [*self._reference.texts["/lab"]][:300]
        await wire.send(post("/lab/bulk-predict", json.dumps({"text": texts}).encode(), bearer(self._keys["free"])))
        head = (await wire.reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = b""
        while len(body) < size and (part := await wire.reader.read(2_048)):
            body += part
            await asyncio.sleep(0.05)
        if b" 200 " not in head:
            return f"{head!r} {body!r}"
        said = DIALECTS["native"].read(httpx.Response(200, content=body))
        return "" if said == self._reference.scores("/lab", texts) else "a wrong answer"

    async def _broken_body(self, wire: Wire) -> str:
        await wire.send(self._request(bearer(self._keys["free"]))[:-5])
        return ""

    async def _gone(self, wire: Wire) -> str:
        await wire.send(self._request(bearer(self._keys["free"]), [f"{self._rng.random()} good film"]))
        return ""

    async def _declared(self, wire: Wire) -> str:
        return await self._ends(wire, self._request(bearer(self._keys["free"]) | {"content-length": "99999999"}), 413)

    async def _chunks(self, wire: Wire) -> str:
        head = post("/project/predict", b"", bearer(self._keys["free"])).replace(
            b"content-length: 0", b"transfer-encoding: chunked"
        )
        return await self._ends(wire, head + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 160, 413)

    async def _endless_head(self, wire: Wire) -> str:
        return await self._ends(wire, b"GET / HTTP/1.1\r\nHost: soak\r\n" + b"a:\r\n" * 30_000, 431)

    async def _bomb(self, wire: Wire) -> str:
        headers = bearer(self._keys["free"]) | {"content-encoding": "gzip"}
        return await self._ends(wire, post("/project/predict", gzip(64 * _MIB), headers), 413)

    async def _too_many(self, wire: Wire) -> str:
        return await self._ends(wire, self._request(bearer(self._keys["free"]), ["a"] * 10_001), 413)

    async def _ahead(self, wire: Wire) -> str:
        """Send requests ahead of their turn, and expect the answers in order."""
        texts = self._rng.choices(self._reference.texts["/lab"], k=12)
        headers = bearer(self._keys["free"])
        await wire.send(b"".join(self._request(headers, [text], "/lab") for text in texts))
        for text in texts:
            answer = await wire.read()
            if answer.status != httpx.codes.OK:
                return answer.words
            said = DIALECTS["native"].read(httpx.Response(answer.status, content=answer.body))
            if said != self._reference.scores("/lab", [text]):
                return answer.words
        return ""
