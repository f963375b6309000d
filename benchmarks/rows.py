"""The workloads: what each row of the tables sends, and what it takes down."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import cycle, islice
from typing import Final, TypeAlias

from benchmarks.catalogue import Cache, Peer
from benchmarks.model import work
from mlapi.cli.load import LoadError, Target, closed_loop, open_loop
from mlapi.cli.outcome import Outcome
from mlapi.cli.traffic import BLOCK, Traffic, mixed_lengths

Measures: TypeAlias = dict[str, float]
CLOCK: Final = time.perf_counter

KNOWN: Final = 1_000
KNOWN_TOKENS: Final = 16
_PAIR: Final = 2
_MANY: Final = 64
_SOME: Final = 16
_BATCH: Final = 32
_BATCHES: Final = 4
_BULK: Final = 10_000
_MS: Final = 1000.0
_ANY: Final = (Cache.REQUESTS, Cache.TEXTS)


class Stage(StrEnum):
    """Who runs where."""

    SHARED = "server and load on both processors"
    SPLIT = "server on one processor, load and Redis on the other"
    SECOND_TIER = "the same, without the in-process tier"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: seconds of time-bound rows, texts of the others; slow peers get the smaller number of texts."""

    seconds: float
    lone: int
    blocks: int
    slow_blocks: int


@dataclass(frozen=True, slots=True)
class Drive:
    """A started peer and the traffic for it.

    Attributes:
        peer: whom.
        target: where it listens.
        traffic: makes a source of texts from a name; other texts in each round, the same ones for every peer.
        known: texts that it has been asked before.
        effort: how much is done.
        slow: whether the peer is known to be slow, so that less is done.
    """

    peer: Peer
    target: Target
    traffic: Callable[[str], Traffic]
    known: Sequence[str]
    effort: Effort
    slow: bool

    def single(self, texts: Sequence[str]) -> bytes:
        """Return a request for few texts."""
        return self.target.post(self.peer.single, self.peer.dialect.write(texts))

    def bulk(self, texts: Sequence[str]) -> bytes:
        """Return a request for many texts."""
        return self.target.post(self.peer.bulk, self.peer.dialect.write(texts))

    async def closed(self, requests: Iterator[bytes], connections: int, seconds: float = float("inf")) -> Outcome:
        """Run a closed loop."""
        return await closed_loop(self.target, requests, connections=connections, seconds=seconds, clock=CLOCK)

    def known_pairs(self) -> Iterator[bytes]:
        """Yield requests for two known texts, round and round."""
        pairs = zip(self.known[::_PAIR], self.known[1::_PAIR], strict=True)
        return cycle([self.single(pair) for pair in pairs])

    @property
    def blocks(self) -> int:
        """Blocks of mixed texts to send."""
        return self.effort.slow_blocks if self.slow else self.effort.blocks


@dataclass(frozen=True, slots=True)
class Row:
    """One workload.

    Attributes:
        name: short, unique.
        title: what is sent.
        stage: who runs where.
        run: does it.
        caches: what a peer has to remember for the row to say anything about it.
        full_only: whether the short profile leaves it out.
    """

    name: str
    title: str
    stage: Stage
    run: Callable[[Drive], Awaitable[Measures]]
    caches: tuple[Cache, ...] = tuple(Cache)
    full_only: bool = False


def measures(outcome: Outcome, texts_per_request: int = 1) -> Measures:
    """Summarise a run."""
    return {
        "requests_per_s": outcome.rate,
        "texts_per_s": outcome.rate * texts_per_request,
        "p50_ms": outcome.quantile_s(0.5) * _MS,
        "p99_ms": outcome.quantile_s(0.99) * _MS,
        "answered": float(outcome.answered),
        "failed": float(outcome.failed),
    }


async def hits(drive: Drive) -> Measures:
    """Two known texts a request, 64 connections."""
    pairs = drive.known_pairs()
    # Once round first: the second time everything is where it will stay.
    await drive.closed(islice(pairs, len(drive.known) // _PAIR), _SOME)
    return measures(await drive.closed(pairs, _MANY, drive.effort.seconds), _PAIR)


async def hello(drive: Drive) -> Measures:
    """The bare server's own rate, 64 connections."""
    return measures(await drive.closed(cycle([drive.target.get("/")]), _MANY, drive.effort.seconds))


async def bulk_known(drive: Drive) -> Measures:
    """All known texts in one request, again and again, one connection."""
    request = drive.bulk(drive.known)
    await drive.closed(iter([request]), 1)
    return measures(await drive.closed(cycle([request]), 1, drive.effort.seconds), len(drive.known))


async def open_hits(drive: Drive, rate: float) -> Measures:
    """Two known texts a request, at a constant rate."""
    count = int(rate * drive.effort.seconds)
    outcome = await open_loop(drive.target, drive.known_pairs(), rate=rate, count=count, connections=_MANY, clock=CLOCK)
    return measures(outcome, _PAIR)


async def lone_miss(drive: Drive, tokens: int) -> Measures:
    """One unknown text at a time."""
    texts = drive.traffic(f"lone {tokens}").texts(tokens)
    requests = (drive.single([text]) for text in texts)
    await drive.closed(islice(requests, 3), 1)
    return measures(await drive.closed(islice(requests, drive.effort.lone), 1))


async def open_misses(drive: Drive, rate: float) -> Measures:
    """Unknown texts of mixed lengths, at a constant rate."""
    requests = (drive.single([text]) for text in drive.traffic("open").mixed())
    count = int(rate * max(drive.effort.seconds, BLOCK / rate))
    return measures(await open_loop(drive.target, requests, rate=rate, count=count, connections=_MANY, clock=CLOCK))


async def mixed(drive: Drive) -> Measures:
    """Unknown texts of mixed lengths, one a request, 16 connections."""
    texts = islice(drive.traffic("mixed").mixed(), drive.blocks * BLOCK)
    outcome = await drive.closed((drive.single([text]) for text in texts), _SOME)
    return measures(outcome) | work(outcome.rate, mixed_lengths())


async def mixed_batches(drive: Drive) -> Measures:
    """Unknown texts of mixed lengths, 32 a request, 4 connections."""
    texts = list(islice(drive.traffic("batches").mixed(), drive.blocks * BLOCK))
    batches = (drive.bulk(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH))
    outcome = await drive.closed(batches, _BATCHES)
    return measures(outcome, _BATCH) | work(outcome.rate * _BATCH, mixed_lengths())


async def uniform(drive: Drive, tokens: int) -> Measures:
    """Unknown texts of one length, 32 a request, 4 connections."""
    texts = list(islice(drive.traffic(f"uniform {tokens}").texts(tokens), drive.blocks * BLOCK // 2))
    batches = (drive.bulk(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH))
    outcome = await drive.closed(batches, _BATCHES)
    return measures(outcome, _BATCH) | work(outcome.rate * _BATCH, (tokens,))


async def popular(drive: Drive, hit_ratio: float) -> Measures:
    """One text a request, known ones by Zipf's law, the rest unknown and of mixed lengths; 16 connections."""
    traffic = drive.traffic(f"popular {hit_ratio}")
    texts = traffic.popular(drive.known, hit_ratio, traffic.mixed())
    requests = (drive.single([text]) for text in texts)
    return measures(await drive.closed(requests, _SOME, 2 * drive.effort.seconds))


async def interactive_under_bulk(drive: Drive) -> Measures:
    """One unknown text of 16 tokens, five times a second, while a bulk request of 10 000 such texts is computed."""
    texts = drive.traffic("bulk").texts(KNOWN_TOKENS)
    background = asyncio.create_task(drive.closed(iter([drive.bulk(list(islice(texts, _BULK)))]), 1))
    try:
        # The bulk request has begun when a text of the foreground has to wait for it; until then a second is enough.
        await asyncio.sleep(1.0)
        requests = (drive.single([text]) for text in texts)
        rate = 5.0
        outcome = await open_loop(
            drive.target,
            requests,
            rate=rate,
            count=int(rate * 2 * drive.effort.seconds),
            connections=_SOME,
            clock=CLOCK,
            timeout_s=120.0,
        )
        if background.done():
            msg = "the bulk request was over before the others were"
            raise LoadError(msg)
    finally:
        background.cancel()
    return measures(outcome)


async def hits_under_misses(drive: Drive) -> Measures:
    """Two known texts a request, 100 times a second, while 16 connections ask for unknown texts of mixed lengths."""
    texts = (drive.single([text]) for text in drive.traffic("background").mixed())
    background = asyncio.create_task(drive.closed(texts, _SOME))
    try:
        rate = 100.0
        outcome = await open_loop(
            drive.target,
            drive.known_pairs(),
            rate=rate,
            count=int(rate * 2 * drive.effort.seconds),
            connections=_MANY,
            clock=CLOCK,
            timeout_s=120.0,
        )
    finally:
        background.cancel()
    return measures(outcome, _PAIR)


ROWS: Final[Mapping[str, Row]] = {
    row.name: row
    for row in (
        Row("hit", "hit, 2 texts, 64 connections", Stage.SPLIT, hits, caches=_ANY),
        Row("bulk-known", "1 000 known texts in a request", Stage.SPLIT, bulk_known, caches=_ANY),
        Row(
            *("open-hit", "hit, 2 texts, 500 requests/s", Stage.SPLIT),
            partial(open_hits, rate=500.0),
            caches=_ANY,
            full_only=True,
        ),
        Row("hit-l2", "hit in Redis, 2 texts, 64 connections", Stage.SECOND_TIER, hits, caches=_ANY),
        Row("miss-16", "miss, one text of 16 tokens", Stage.SHARED, partial(lone_miss, tokens=16)),
        Row("miss-128", "miss, one text of 128 tokens", Stage.SHARED, partial(lone_miss, tokens=128)),
        Row("mixed", "misses of mixed length, 16 connections", Stage.SHARED, mixed),
        Row("mixed-32", "misses of mixed length, 4 connections, 32 a request", Stage.SHARED, mixed_batches),
        Row("uniform-128", "misses of 128 tokens, 4 x 32", Stage.SHARED, partial(uniform, tokens=128), full_only=True),
        Row("open-miss", "misses of mixed length, 10/s", Stage.SHARED, partial(open_misses, rate=10.0), full_only=True),
        *(
            Row(
                f"zipf-{percent}",
                f"popularity by Zipf, {percent} % known",
                Stage.SHARED,
                partial(popular, hit_ratio=percent / 100),
                caches=(Cache.TEXTS,),
                full_only=True,
            )
            for percent in (0, 50, 90, 95, 99)
        ),
        Row(
            *("hit-under-misses", "hits, 100 requests/s, under saturating misses", Stage.SHARED, hits_under_misses),
            caches=_ANY,
            full_only=True,
        ),
        Row(
            *("miss-under-bulk", "misses, 5/s, under a bulk of 10 000", Stage.SHARED, interactive_under_bulk),
            full_only=True,
        ),
    )
}


def applies(row: Row, peer: Peer) -> bool:
    """Whether a row says anything about a peer."""
    if row.stage is Stage.SECOND_TIER:
        return peer.second_tier is not None
    # Who has no cache computes known texts again: that is the row `mixed`.
    return peer.cache in row.caches
