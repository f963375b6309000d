"""Measures what a hit costs the server's processor, sockets included: `python -m benchmarks.hit_costs`.

Bare uvicorn and mlapi run as processes of their own, mlapi also with API keys, without and with a quota that is counted
in Redis. The requests of the rows `hit`, `hit-proxied`, `hit-tei`, `hit-oip`, `hit-keys` and `hit-quota` of
`benchmarks.run` are sent over 64 connections, in short turns that alternate. Each turn is charged with the processor
time that the server's process used meanwhile (/proc/PID/stat). Unlike a rate, that says something on a busy machine,
too. The engine is the one for tests: it computes nothing once the texts are known.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import click
import uvloop

from benchmarks.catalogue import HELLO, PEERS, ROOT, Peer
from benchmarks.dialects import PLAIN, TEI, TENSORS, Dialect
from benchmarks.servers import Places, Server
from mlapi.access.key_text import make_key
from mlapi.access.keys_file import KeyRecord, write_keys
from mlapi.access.quota import Quota
from mlapi.bench.load import Target, closed_loop
from mlapi.settings import DEFAULT_BUNDLE
from tools.private_redis import PrivateRedis

_CONNECTIONS: Final = 64
_US: Final = 1e6
_BARE: Final = "bare uvicorn, the same POST"
_OWN: Final = "mlapi's own"
_PATH: Final = "/project/predict"
_NO_LIMIT: Final = 1_000_000_000
_IDS: Final = 65_536
_TEXTS: Final = [f"the plot of film number {number} was thin but its cast made up for it" for number in range(1000)]
_PAIRS: Final = [*zip(_TEXTS[::2], _TEXTS[1::2], strict=True)]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: what it is called, which server gets it, and the requests, round and round."""

    name: str
    server: Server
    requests: Iterator[bytes]


def pairs(target: Target, path: str, dialect: Dialect) -> Iterator[bytes]:
    """Yield requests for two known texts, the same 500 bodies round and round."""
    return cycle([target.post(path, dialect.write(pair)) for pair in _PAIRS])


def proxied(target: Target, path: str) -> Iterator[bytes]:
    """Yield the same requests as a proxy passes them on: with the caller's address, and an id that never repeats."""
    random = Random("proxied pairs")  # noqa: S311  reproducible, not secret
    bodies = cycle(PLAIN.write(pair) for pair in _PAIRS)
    proxy = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"}
    return cycle(
        [
            target.post(path, body, headers=proxy | {"x-request-id": str(UUID(int=random.getrandbits(128), version=4))})
            for body in islice(bodies, _IDS)
        ]
    )


def started(
    stack: ExitStack,
    peer: Peer,
    extra: Mapping[str, str],
    *,
    processors: Sequence[int],
    keyed: bool = False,
    quota: int | None = None,
) -> Server:
    """Start a server that `stack` ends; with keys, its target sends one."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    places = Places(programs=ROOT / ".venv" / "bin", model=DEFAULT_BUNDLE, redis="", scratch=scratch)
    headers = {}
    extra = {"MLAPI_ENGINE": "fake"} | dict(extra)
    if keyed:
        key = make_key()
        allowed = Quota(texts_per_second=quota) if quota else None
        record = KeyRecord(key.id, (key.digest.hex(),), "benchmark", quota=allowed)
        (scratch / "keys.json").write_bytes(write_keys([record]))
        extra |= dict(peer.keyed or {})
        headers["authorization"] = f"Bearer {key}"
    probe = PLAIN.write(["a probe"])
    return stack.enter_context(Server(peer, places, processors, extra, probe, headers=headers))


async def send(kind: Kind, count: int, clock: Callable[[], float]) -> float:
    """Send `count` requests; return the processor time that the server used, in seconds a request.

    Raises:
        SystemExit: not all were answered with 200.
    """
    before = kind.server.processor_s
    outcome = await closed_loop(kind.server.target, islice(kind.requests, count), connections=_CONNECTIONS, clock=clock)
    used = kind.server.processor_s - before
    if outcome.answered != count or outcome.failed:
        message = f"{kind.name}: {outcome.answered} of {count} requests were answered with 200"
        raise SystemExit(message)
    return used / count


def render(turns: dict[str, list[float]]) -> Iterator[str]:
    """Yield a table."""
    bare, own = (statistics.median(turns[name]) for name in (_BARE, _OWN))
    yield "| request | processor, µs | lowest to highest turn | of bare uvicorn's throughput a processor | of mlapi's |"
    yield "|---|---|---|---|---|"
    for name, taken in turns.items():
        costs = sorted(taken)
        middle = statistics.median(costs)
        spread = f"{costs[0] * _US:.1f} to {costs[-1] * _US:.1f}"
        yield f"| {name} | {middle * _US:.1f} | {spread} | {100 * bare / middle:.0f} % | {100 * own / middle:.1f} % |"


@click.command()
@click.option("--turns", default=9, show_default=True, help="Of each kind of request.")
@click.option("--requests", default=10_000, show_default=True, help="In a turn.")
def main(turns: int, requests: int) -> None:
    """Print what a hit costs the server's processor, in each of three wire formats, and with keys and quotas."""
    processors = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        redis = stack.enter_context(PrivateRedis())
        os.sched_setaffinity(0, processors[1:] or processors)
        begin = partial(started, stack, processors=processors[:1])
        bare, ours = begin(HELLO, {}), begin(PEERS["mlapi"], {})
        keyed = begin(PEERS["mlapi"], {}, keyed=True)
        metered = begin(PEERS["mlapi"], {"MLAPI_REDIS_URL": redis.url}, keyed=True, quota=_NO_LIMIT)
        kinds = [
            Kind("bare uvicorn, GET", bare, cycle([bare.target.get("/")])),
            Kind(_BARE, bare, pairs(bare.target, "/predict", PLAIN)),
            Kind(_OWN, ours, pairs(ours.target, _PATH, PLAIN)),
            Kind("through a proxy that adds an id", ours, proxied(ours.target, _PATH)),
            Kind("with API keys", keyed, pairs(keyed.target, _PATH, PLAIN)),
            Kind("with a quota", metered, pairs(metered.target, _PATH, PLAIN)),
            Kind("text-embeddings-inference", ours, pairs(ours.target, "/project/tei/predict", TEI)),
            Kind("Open Inference Protocol", ours, pairs(ours.target, "/project/v2/models/project/infer", TENSORS)),
        ]
        taken: dict[str, list[float]] = {kind.name: [] for kind in kinds}
        for kind in kinds:  # once round: texts become known, and bodies
            uvloop.run(send(kind, 2_000, time.perf_counter))
        for turn in range(turns):
            for kind in kinds if turn % 2 else reversed(kinds):
                taken[kind.name].append(uvloop.run(send(kind, requests, time.perf_counter)))
    for line in render(taken):
        click.echo(line)


if __name__ == "__main__":
    main()
