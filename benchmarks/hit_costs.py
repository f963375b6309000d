"""Measures what a hit costs the server's processor, sockets included: `python -m benchmarks.hit_costs`.

Bare uvicorn and mlapi run as processes of their own; the requests of the rows `hit`, `hit-tei` and `hit-oip` of
`benchmarks.run` are sent over 64 connections, in short turns that alternate. Each turn is charged with the processor
time that the server's process used meanwhile (/proc/PID/stat). Unlike a rate, that says something on a busy machine,
too. The engine is the one for tests: it computes nothing once the texts are known.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import click
import uvloop

from benchmarks.catalogue import HELLO, PEERS, ROOT
from benchmarks.dialects import PLAIN, TEI, TENSORS, Dialect
from benchmarks.servers import Places, Server
from mlapi.bench.load import Target, closed_loop
from mlapi.settings import DEFAULT_BUNDLE

_CONNECTIONS: Final = 64
_US: Final = 1e6
_BARE: Final = "bare uvicorn, the same POST"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: what it is called, which server gets it, and the requests, round and round."""

    name: str
    server: Server
    requests: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took, a request: processor time in seconds; and requests answered a second."""

    processor_s: float
    rate: float


def pairs(target: Target, path: str, dialect: Dialect) -> Iterator[bytes]:
    """Yield requests for two known texts, the same 500 bodies round and round."""
    texts = [f"the plot of film number {number} was thin but its cast made up for it" for number in range(1000)]
    return cycle([target.post(path, dialect.write(pair)) for pair in zip(texts[::2], texts[1::2], strict=True)])


async def send(kind: Kind, count: int, clock: Callable[[], float]) -> Turn:
    """Send so many requests.

    Raises:
        SystemExit: not all were answered with 200.
    """
    before = kind.server.processor_s
    outcome = await closed_loop(kind.server.target, islice(kind.requests, count), connections=_CONNECTIONS, clock=clock)
    used = kind.server.processor_s - before
    if outcome.answered != count or outcome.failed:
        message = f"{kind.name}: {outcome.answered} of {count} requests were answered with 200"
        raise SystemExit(message)
    return Turn(used / count, outcome.rate)


def render(turns: dict[str, list[Turn]]) -> Iterator[str]:
    """Yield a table."""
    bare = statistics.median(turn.processor_s for turn in turns[_BARE])
    yield "| request | processor, µs | lowest to highest turn | of bare uvicorn's throughput a processor | requests/s |"
    yield "|---|---|---|---|---|"
    for name, taken in turns.items():
        costs = sorted(turn.processor_s for turn in taken)
        middle = statistics.median(costs)
        rate = statistics.median(turn.rate for turn in taken)
        spread = f"{costs[0] * _US:.1f} to {costs[-1] * _US:.1f}"
        yield f"| {name} | {middle * _US:.1f} | {spread} | {100 * bare / middle:.0f} % | {rate:.0f} |"


@click.command()
@click.option("--turns", default=9, show_default=True, help="Of each kind of request.")
@click.option("--requests", default=10_000, show_default=True, help="In a turn.")
def main(turns: int, requests: int) -> None:
    """Print what a hit costs the server's processor, in each of three wire formats."""
    processors = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        places = Places(programs=ROOT / ".venv" / "bin", model=DEFAULT_BUNDLE, redis="", scratch=Path(scratch))
        start = partial(Server, places=places, processors=processors[:1], probe=PLAIN.write(["a probe"]))
        os.sched_setaffinity(0, processors[1:] or processors)
        with start(HELLO, extra={}) as bare, start(PEERS["mlapi"], extra={"MLAPI_ENGINE": "fake"}) as ours:
            kinds = [
                Kind("bare uvicorn, GET", bare, cycle([bare.target.get("/")])),
                Kind(_BARE, bare, pairs(bare.target, "/predict", PLAIN)),
                Kind("mlapi's own", ours, pairs(ours.target, "/project/predict", PLAIN)),
                Kind("text-embeddings-inference", ours, pairs(ours.target, "/project/tei/predict", TEI)),
                Kind("Open Inference Protocol", ours, pairs(ours.target, "/project/v2/models/project/infer", TENSORS)),
            ]
            taken: dict[str, list[Turn]] = {kind.name: [] for kind in kinds}
            for kind in kinds:  # once round: texts become known, and bodies
                uvloop.run(send(kind, 2_000, time.perf_counter))
            for turn in range(turns):
                for kind in kinds if turn % 2 else reversed(kinds):
                    taken[kind.name].append(uvloop.run(send(kind, requests, time.perf_counter)))
    for line in render(taken):
        click.echo(line)


if __name__ == "__main__":
    main()
