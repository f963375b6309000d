"""Steady requests in every wire format, each answer compared with the reference; and a key that asks for too much."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx

from mlapi.access.key_text import ApiKey
from soak.ledger import Ledger
from soak.reference import Reference
from soak.wire import Answer, Caller, LostError, post
from tests.e2e.api_keys import bearer
from tests.e2e.dialects import DIALECTS, Dialect

_TIMEOUT_S: Final = 90.0
LINES: Final = Dialect(
    ("{root}/bulk-predict",),
    lambda texts: b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts),
    lambda response: [
        {item["label"]: item["score"] for item in labels}
        for line in response.text.splitlines()
        for labels in json.loads(line)["predictions"]
    ],
    lambda document: str(document["detail"]),
    headers={"content-type": "application/x-ndjson"},
)
"""Each text a line: answered line by line, while the request may still come."""

_SOURCE: Final = re.compile(r"\b(l1|l2|collapsed|model)=(\d+)")
_HOT_SHARE: Final = 0.6
_HOT: Final = 50
_MOST_TEXTS: Final = 5


class Way(NamedTuple):
    """One way to ask: a wire format, one of its paths, and a model's root."""

    name: str
    dialect: Dialect
    path: int
    root: str

    @property
    def title(self) -> str:
        """How it stands in the report."""
        return f"{self.name} {self.dialect.paths[self.path].format(root=self.root, name=self.root[1:])}"


def ways(roots: tuple[str, ...]) -> list[Way]:
    """Return every path of every wire format with every model that it can name; at the process's root, the first."""
    return [
        Way(name, dialect, place, root)
        for name, dialect in (DIALECTS | {"native, lines": LINES}).items()
        for place, path in enumerate(dialect.paths)
        for root in (roots if "{" in path else roots[:1])
    ]


@dataclass(slots=True)
class Keyholder:
    """Who holds a key that is exchanged from time to time."""

    key: ApiKey


class Traffic:
    """Callers who never ask for too much, and so are never refused."""

    def __init__(self, reference: Reference, keyholder: Keyholder, ledger: Ledger, rng: random.Random) -> None:
        self._reference = reference
        self._keyholder = keyholder
        self._ledger = ledger
        self._rng = rng
        self._ways = ways(tuple(reference.texts))

    @property
    def titles(self) -> list[str]:
        """All ways to ask."""
        return [way.title for way in self._ways]

    async def run(self, port: int, *, rate: float, callers: int, over: Callable[[], bool]) -> None:
        """Ask `rate` times a second on so many connections until it is over."""
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(self._call(Caller(port, _TIMEOUT_S), number, callers / rate, over))

    async def _call(self, caller: Caller, number: int, pause_s: float, over: Callable[[], bool]) -> None:
        turn = number * 7
        while not over():
            await asyncio.sleep(self._rng.expovariate(1 / pause_s))
            turn += 1
            await self.ask(caller, self._ways[turn % len(self._ways)])
        caller.close()

    async def ask(self, caller: Caller, way: Way) -> None:
        """Ask once, and compare."""
        texts = self._choose(way.root)
        path, body, headers = way.dialect.request(texts, path=way.path, root=way.root)
        try:
            answer = await caller.ask(post(path, body, headers | bearer(self._keyholder.key)))
        except (LostError, TimeoutError) as error:
            self._ledger.fail("lost", f"{way.title}: {error!r}")
            return
        if answer.status != httpx.codes.OK:
            kind = "refused" if answer.status != httpx.codes.INTERNAL_SERVER_ERROR else "500"
            self._ledger.fail(kind, f"{way.title}: {answer.words}")
            return
        self._compare(way, texts, answer)

    def _compare(self, way: Way, texts: list[str], answer: Answer) -> None:
        right = self._reference.scores(way.root, texts, best_only=way.dialect.best_only)
        try:
            said = way.dialect.read(httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body))
        except Exception as error:  # noqa: BLE001  whatever cannot be read is a wrong answer
            said, answer = [], Answer(answer.status, {}, repr(error).encode() + answer.body)
        if said != right:
            self._ledger.fail("wrong answer", f"{way.title}: {answer.words} instead of {right}")
            return
        self._ledger.answered[way.title] += 1
        for source, count in _SOURCE.findall(answer.headers.get("cache-status", "")):
            self._ledger.texts[source] += int(count)

    def _choose(self, root: str) -> list[str]:
        pool = self._reference.texts[root]
        count = self._rng.randint(1, _MOST_TEXTS)
        return [self._rng.choice(pool[:_HOT] if self._rng.random() < _HOT_SHARE else pool) for _ in range(count)]


class Metered:
    """A key that asks for three times as much as it may."""

    TEXTS: Final = 5
    RATE: Final = 20.0
    BURST: Final = 20

    def __init__(self, reference: Reference, key: ApiKey, ledger: Ledger) -> None:
        self._texts = [*next(iter(reference.texts.values()))][: self.TEXTS]
        self._root = next(iter(reference.texts))
        self._reference = reference
        self._key = key
        self._ledger = ledger

    async def run(self, port: int, over: Callable[[], bool]) -> None:
        """Ask until it is over."""
        caller = Caller(port, _TIMEOUT_S)
        request = post(f"{self._root}/predict", json.dumps({"text": self._texts}).encode(), bearer(self._key))
        asked = time.monotonic()
        while not over():
            await asyncio.sleep(self.TEXTS / self.RATE / 3)
            passed, asked = time.monotonic() - asked, time.monotonic()
            self._ledger.metered_due += min(self.RATE * passed, self.TEXTS)
            try:
                answer = await caller.ask(request)
            except (LostError, TimeoutError) as error:
                self._ledger.fail("lost", f"with a quota: {error!r}")
                continue
            self._take(answer)
        caller.close()

    def _take(self, answer: Answer) -> None:
        if answer.status == httpx.codes.OK:
            response = httpx.Response(answer.status, content=answer.body)
            if DIALECTS["native"].read(response) != self._reference.scores(self._root, self._texts):
                self._ledger.fail("wrong answer", f"with a quota: {answer.words}")
            self._ledger.metered["granted"] += self.TEXTS
        elif answer.status == httpx.codes.TOO_MANY_REQUESTS and {"retry-after", "ratelimit"} <= {*answer.headers}:
            self._ledger.metered["refused"] += self.TEXTS
        else:
            self._ledger.fail("quota", answer.words)
