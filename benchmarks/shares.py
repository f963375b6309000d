"""Measures what a saturated model costs another one in the same process: misses and hits of both, idle and saturated.

Run `python -m benchmarks.shares PORT` beside `mlapi serve` with its shipped models, on loopback. Misses of `/lab` and
hits of both models are sent at fixed times, first alone and then while callers of `/project` keep its queue full of
texts that nobody knows; printed are quantiles of the latency from when each request was due, in milliseconds.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Final

from mlapi.bench.load import Target, closed_loop, open_loop
from mlapi.bench.outcome import Outcome
from mlapi.settings import LAB_BUNDLE

HOST: Final = "127.0.0.1"
CALLERS: Final = 16
WORDS: Final = 24
"""In a text of the large model."""

RATE: Final = 100.0
COUNT: Final = 1_000
KNOWN: Final = "a text that both models know"


def vocabulary() -> list[str]:
    """Return words that the small model knows: of others its tokenizer makes one and the same text."""
    terms = json.loads((LAB_BUNDLE / "vocabulary.json").read_bytes())["terms"]
    return [term for term in terms if re.fullmatch("[a-z]{3,}", term)]


def posts(target: Target, texts: Iterator[str]) -> Iterator[bytes]:
    """Yield one request a text."""
    for text in texts:
        yield target.post("/predict", json.dumps({"text": text}).encode())


def unknown(words: list[str]) -> Iterator[str]:
    """Yield texts of two known words, none twice; other ones in each run of this program."""
    pairs = itertools.product(words, repeat=2)
    return (" ".join(pair) for pair in itertools.islice(pairs, time.time_ns() % (len(words) * len(words) // 2), None))


def long_texts(words: list[str]) -> Iterator[str]:
    """Yield texts of many words, none twice."""
    for number in itertools.count(time.time_ns() % 1_000_000_000):
        yield " ".join([str(number), *(words[(number * 31 + place * 97) % len(words)] for place in range(WORDS))])


def say(state: str, name: str, outcome: Outcome) -> None:
    """Print a row."""
    quantiles = "".join(f"{outcome.quantile_s(share) * 1e3:10.2f}" for share in (0.5, 0.99, 1.0))
    sys.stdout.write(f"{state:<12}{name:<20}{quantiles}{outcome.failed:8d}\n")


async def probe(project: Target, lab: Target, words: list[str], state: str) -> None:
    """Measure the four kinds of request one after the other."""
    kinds = {
        "/lab misses": posts(lab, unknown(words)),
        "/lab hits": posts(lab, itertools.repeat(KNOWN)),
        "/project hits": posts(project, itertools.repeat(KNOWN)),
        "/project misses": posts(project, long_texts(words)),
    }
    target = {"/lab misses": lab, "/lab hits": lab}
    for name, requests in kinds.items():
        rate, count = (RATE, COUNT) if name != "/project misses" else (RATE / 10, COUNT // 10)
        outcome = await open_loop(
            target.get(name, project), requests, rate=rate, count=count, connections=8, clock=time.monotonic
        )
        say(state, name, outcome)


async def measure(port: int) -> None:
    """Measure idle, then saturated."""
    project, lab = Target(HOST, port, "/project"), Target(HOST, port, "/lab")
    words = vocabulary()
    for target in (project, lab):
        await closed_loop(target, posts(target, iter([KNOWN])), connections=1, clock=time.monotonic)
    sys.stdout.write(f"{'':<12}{'ms':<20}{'p50':>10}{'p99':>10}{'max':>10}{'failed':>8}\n")
    await probe(project, lab, words, "idle")
    flood = asyncio.create_task(
        closed_loop(project, posts(project, long_texts(words)), connections=CALLERS, clock=time.monotonic)
    )
    try:
        await probe(project, lab, words, "saturated")
        if flood.done():
            flood.result()
    finally:
        flood.cancel()


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1])))
