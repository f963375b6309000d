"""The workloads: what each sends to a peer, and what is taken down of it."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Final, TypeAlias
from uuid import UUID

from benchmarks.catalogue import Peer
from benchmarks.dialects import Dialect
from benchmarks.model import work
from mlapi.bench.load import LoadError, Target, closed_loop, open_loop
from mlapi.bench.outcome import Outcome
from mlapi.bench.traffic import BLOCK, Traffic, mixed_lengths

Measures: TypeAlias = dict[str, float]
CLOCK: Final = time.perf_counter

KNOWN_TOKENS: Final = 16
_PAIR: Final = 2
_MANY: Final = 64
_SOME: Final = 16
_BATCH: Final = 32
_BATCHES: Final = 4
_FRESH_BODIES: Final = 2**17
_BULK_ORDERS: Final = 2**7
_LONE_RATE: Final = 10.0
_MS: Final = 1000.0
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done.

    Attributes:
        seconds: of what is bound by time.
        lone: texts that are asked for one at a time.
        blocks: whole blocks of mixed texts.
        slow_blocks: the same for peers that are known to be slow.
        known: texts that are asked for beforehand.
        foreground: requests that have to get past a bulk; a 99th percentile needs 200.
        bulk: texts in that bulk.
    """

    seconds: float
    lone: int
    blocks: float
    slow_blocks: float
    known: int = 1_000
    foreground: int = 200
    bulk: int = 10_000


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
        begin: told when everything is prepared: what the processors do from then on counts.
    """

    peer: Peer
    target: Target
    traffic: Callable[[str], Traffic]
    known: Sequence[str]
    effort: Effort
    slow: bool
    begin: Callable[[], None]

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
        """Yield requests for two known texts, the same 500 bodies round and round."""
        pairs = zip(self.known[::_PAIR], self.known[1::_PAIR], strict=True)
        return cycle([self.single(pair) for pair in pairs])

    def fresh_pairs(self) -> Iterator[bytes]:
        """Yield requests for two known texts that were drawn at random: 131 072 bodies, of a million that there are."""
        random = Random("fresh pairs")  # noqa: S311  reproducible, not secret
        return cycle([self.single(random.sample(self.known, _PAIR)) for _ in range(_FRESH_BODIES)])

    def proxied_pairs(self) -> Iterator[bytes]:
        """Yield `known_pairs` as a proxy passes them on: with the caller's address, and an id that never repeats.

        Envoy adds these headers by default, with `generate_request_id` a version 4 UUID:
        https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers
        """
        random = Random("proxied pairs")  # noqa: S311  reproducible, not secret
        pairs = cycle(
            [self.peer.dialect.write(pair) for pair in zip(self.known[::_PAIR], self.known[1::_PAIR], strict=True)]
        )
        proxy = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"}
        return cycle(
            [
                self.target.post(
                    self.peer.single,
                    body,
                    headers=proxy | {"x-request-id": str(UUID(int=random.getrandbits(128), version=4))},
                )
                for body in islice(pairs, _FRESH_BODIES)
            ]
        )

    def other_pairs(self, path: str, dialect: Dialect) -> Iterator[bytes]:
        """Yield `known_pairs` as clients of another server write them, to another path of the peer."""
        pairs = zip(self.known[::_PAIR], self.known[1::_PAIR], strict=True)
        return cycle([self.target.post(path, dialect.write(pair)) for pair in pairs])

    def fresh_bulks(self) -> Iterator[bytes]:
        """Yield requests for all known texts, in 128 orders round and round, which are made beforehand."""
        random = Random("fresh bulks")  # noqa: S311  reproducible, not secret
        return cycle([self.bulk(random.sample(self.known, len(self.known))) for _ in range(_BULK_ORDERS)])

    def same_bulks(self) -> Iterator[bytes]:
        """Yield one request for all known texts, without end."""
        return cycle([self.bulk(self.known)])

    @property
    def count(self) -> int:
        """Mixed texts to send."""
        return int(BLOCK * (self.effort.slow_blocks if self.slow else self.effort.blocks))


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


async def hits(drive: Drive, bodies: Callable[[Drive], Iterator[bytes]] = Drive.known_pairs) -> Measures:
    """Two known texts a request, 64 connections."""
    pairs = bodies(drive)
    # Once round first: the second time everything is where it will stay.
    await drive.closed(islice(drive.known_pairs(), len(drive.known) // _PAIR), _SOME)
    drive.begin()
    return measures(await drive.closed(pairs, _MANY, drive.effort.seconds), _PAIR)


async def hello(drive: Drive) -> Measures:
    """The bare server's own rate, 64 connections, GET."""
    return measures(await drive.closed(cycle([drive.target.get("/")]), _MANY, drive.effort.seconds))


async def hello_post(drive: Drive) -> Measures:
    """The bare server's rate when it is sent what the hits are sent."""
    return measures(await drive.closed(drive.known_pairs(), _MANY, drive.effort.seconds))


async def bulk_known(drive: Drive, bodies: Callable[[Drive], Iterator[bytes]]) -> Measures:
    """All known texts in one request, one connection."""
    requests = bodies(drive)
    await drive.closed(islice(requests, 1), 1)
    drive.begin()
    return measures(await drive.closed(requests, 1, drive.effort.seconds), len(drive.known))


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
    drive.begin()
    return measures(await drive.closed(islice(requests, drive.effort.lone), 1))


async def open_misses(drive: Drive, rate: float) -> Measures:
    """Unknown texts of mixed lengths, at a constant rate."""
    requests = (drive.single([text]) for text in drive.traffic("open").mixed())
    count = max(int(rate * drive.effort.seconds), int(BLOCK * min(1, drive.effort.blocks)))
    return measures(await open_loop(drive.target, requests, rate=rate, count=count, connections=_MANY, clock=CLOCK))


async def mixed(drive: Drive) -> Measures:
    """Unknown texts of mixed lengths, one a request, 16 connections."""
    texts = islice(drive.traffic("mixed").mixed(), drive.count)
    outcome = await drive.closed((drive.single([text]) for text in texts), _SOME)
    return measures(outcome) | work(outcome.rate, mixed_lengths())


async def mixed_batches(drive: Drive) -> Measures:
    """Unknown texts of mixed lengths, 32 a request, 4 connections."""
    texts = list(islice(drive.traffic("batches").mixed(), drive.count))
    batches = (drive.bulk(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH))
    outcome = await drive.closed(batches, _BATCHES)
    return measures(outcome, _BATCH) | work(outcome.rate * _BATCH, mixed_lengths())


async def uniform(drive: Drive, tokens: int) -> Measures:
    """Unknown texts of one length, 32 a request, 4 connections."""
    texts = list(islice(drive.traffic(f"uniform {tokens}").texts(tokens), drive.count // 2))
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
    """One unknown text of 16 tokens, ten times a second, while bulk requests of 10 000 such texts are computed."""
    texts = drive.traffic("bulk").texts(KNOWN_TOKENS)
    bulks = (drive.bulk(list(islice(texts, drive.effort.bulk))) for _ in cycle([None]))
    background = asyncio.create_task(drive.closed(bulks, 1))
    try:
        # The bulk request has begun when a text of the foreground has to wait for it; until then a second is enough.
        await asyncio.sleep(1.0)
        requests = (drive.single([text]) for text in texts)
        count = drive.effort.foreground
        outcome = await open_loop(
            drive.target,
            requests,
            rate=_LONE_RATE,
            count=count,
            connections=_MANY,
            clock=CLOCK,
            timeout_s=2 * count / _LONE_RATE + _PATIENCE_S,
        )
        if background.done():
            msg = "the bulk requests were refused"
            raise LoadError(msg)
    finally:
        background.cancel()
    return measures(outcome)


async def hits_under_misses(drive: Drive) -> Measures:
    """Two known texts a request, 100 times a second, while 16 connections ask for unknown texts of mixed lengths."""
    texts = (drive.single([text]) for text in drive.traffic("background").mixed())
    pairs = drive.fresh_pairs()
    drive.begin()
    background = asyncio.create_task(drive.closed(texts, _SOME))
    try:
        rate = 100.0
        count = int(rate * 2 * drive.effort.seconds)
        outcome = await open_loop(
            drive.target,
            pairs,
            rate=rate,
            count=count,
            connections=_MANY,
            clock=CLOCK,
            timeout_s=count / rate + _PATIENCE_S,
        )
        if background.done():
            msg = "the misses were refused"
            raise LoadError(msg)
    finally:
        background.cancel()
    return measures(outcome, _PAIR)
