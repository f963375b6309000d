"""Shows what a cached answer costs the server's processor: `python -m benchmarks.profile_hits`.

Connections are driven in this process, through the server's protocol and a wire in memory, so that neither sockets nor
a load client are in the figures. Each is the least processor time of many rounds, in microseconds a request, next to
that of an application that answers a constant. The texts are known; the engine is the one for tests.
"""

import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from timeit import repeat
from typing import Any, Final
from uuid import UUID

import click
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.dialects import PLAIN, TEI, TENSORS, Dialect
from benchmarks.peers.hello.serve import app as hello
from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keys_file import KeyRecord, write_keys
from mlapi.access.quota import Quota
from mlapi.api.application import Application
from mlapi.app import create_app
from mlapi.dialects.base import TextLimits
from mlapi.dialects.native_body import read_texts
from mlapi.server.dialect_path import dialect_paths
from mlapi.server.fast_path import fast_paths
from mlapi.server.fast_protocol import FastHttpConnection
from mlapi.server.known_bodies import MAX_BODY_BYTES, KnownBodies, digests_size
from mlapi.server.limits import Limits
from mlapi.server.plain_bodies import read_forms
from mlapi.server.requests import Caller, Choosy
from mlapi.server.shared import Shared
from mlapi.settings import read_settings
from tools.private_redis import PrivateRedis

_TEXTS: Final = [f"the plot of film number {number} was thin but its cast made up for it" for number in range(1000)]
_CONNECTIONS: Final = 64
_ROUNDS: Final = 60
_DATE: Final = (b"date", b"Sat, 21 Nov 2026 00:00:00 GMT")
_US: Final = 1e6
_PATIENCE_MS: Final = "5000"
_LIMITS: Final = TextLimits(texts=len(_TEXTS), chars=1_000)
_CALLS: Final = 40_000
_BATCHES: Final = 300
_NO_LIMIT: Final = 1_000_000_000
_IDS: Final = 65_536


class Wire(asyncio.Transport):
    """Counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Take bytes."""
        self.sent += len(data)

    def close(self) -> None:
        """Stay open: uvicorn closes what is over."""

    def is_closing(self) -> bool:
        """Never is."""
        return False

    def pause_reading(self) -> None:
        """Nothing comes that is not handed over."""

    def resume_reading(self) -> None:
        """See above."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Name both ends."""
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of request: its name, through which protocol to which application, on how many connections."""

    name: str
    protocol: Callable[..., Any]
    app: Callable[..., Any]
    requests: Iterable[bytes]
    connections: int = _CONNECTIONS


def _post(path: str, texts: Sequence[str], dialect: Dialect = PLAIN, more: str = "") -> bytes:
    body = dialect.write(texts)
    head = f"POST /project/{path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _pairs() -> list[Sequence[str]]:
    return [_TEXTS[start : start + 2] for start in range(0, len(_TEXTS), 2)]


def _random_pairs() -> Iterator[bytes]:
    dice = random.Random(0)  # noqa: S311  as below
    while True:
        yield _post("predict", dice.sample(_TEXTS, 2))


def _proxied() -> Iterator[bytes]:
    """Yield requests as Envoy passes them on: with the caller's address, and an id that never repeats."""
    dice = random.Random(0)  # noqa: S311  as below
    known = "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n"
    for pair in cycle(_pairs()):
        yield _post("predict", pair, more=f"{known}x-request-id: {UUID(int=dice.getrandbits(128), version=4)}\r\n")


def _keys(folder: Path) -> tuple[str, ApiKey, ApiKey]:
    """Write a keys file with two keys, of which the second has a quota; return where it is, and both."""
    free, metered = make_key(), make_key()
    quotas = {free: None, metered: Quota(texts_per_second=_NO_LIMIT)}
    records = [KeyRecord(key.id, (key.digest.hex(),), "profile", quota=quota) for key, quota in quotas.items()]
    path = folder / "keys.json"
    path.write_bytes(write_keys(records))
    return str(path), free, metered


def _held_by(key: ApiKey) -> list[bytes]:
    return [_post("predict", pair, more=f"authorization: Bearer {key}\r\n") for pair in _pairs()]


def _shuffled(seed: int) -> list[str]:
    dice = random.Random(seed)  # noqa: S311  a seed, so that each run sends the same
    return dice.sample(_TEXTS, len(_TEXTS))


async def measure(row: Row, rounds: int = _ROUNDS) -> float:
    """Return the least processor time of a round, in seconds a request."""
    config = uvicorn.Config(row.app, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    server = ServerState()
    server.default_headers = [_DATE]
    loop = asyncio.get_running_loop()
    connections = [row.protocol(config, server, {}, loop) for _ in range(row.connections)]
    for connection in connections:
        connection.connection_made(Wire())
    requests = cycle(row.requests)
    least = float("inf")
    for _ in range(rounds):
        batch = list(islice(requests, row.connections))
        answered = server.total_requests + row.connections
        began = time.thread_time()
        for connection, request in zip(connections, batch, strict=True):
            connection.data_received(request)
        while server.total_requests < answered:  # noqa: ASYNC110  the server tells nobody, and must not be slowed down
            await asyncio.sleep(0)
        least = min(least, time.thread_time() - began)
    for connection in connections:
        connection.connection_lost(None)
    return least / row.connections


def parts(app: Application, count: int) -> dict[str, float]:
    """Return what the parts of a hit in L1 of so many texts cost that are the service's own, in seconds."""
    fast_path, model = fast_paths(app)[b"/project/bulk-predict"], app.mounts[0].served.loaded
    body = _post("bulk-predict", _TEXTS[:count]).partition(b"\r\n\r\n")[2]
    predictor, fold = model.predictor, model.predictor.ascii_fold or b""
    texts = read_texts(body, _LIMITS).items
    digests = predictor.query(texts).digests
    known = predictor.known(digests) or []
    forms = [text.lower().encode() for text in texts]
    bodies = KnownBodies(bytes(16), digests_size)
    for _ in range(2):
        bodies.put(body, digests)
    caller = Caller()
    short: dict[str, Callable[[], object]] = {
        "recognise the body": lambda: bodies.get(body),
        "or fold and hash its texts in its bytes": lambda: predictor.digest_forms(read_forms(body, fold) or []),
        "or, if it is not plain, decode, fold and hash": lambda: predictor.query(read_texts(body, _LIMITS).items),
    }
    long: dict[str, Callable[[], object]] = {
        "decode the body": lambda: read_texts(body, _LIMITS),
        "fold and hash its texts": lambda: predictor.query(texts),
        "of that, the hashes": lambda: predictor.digest_forms(forms),
    }
    calls: dict[str, Callable[[], object]] = {
        "all of them": lambda: fast_path.answer(caller, body, ""),
        **(short if len(body) <= MAX_BODY_BYTES else long),
        "look the texts up": lambda: predictor.known(digests),
        "count, and write the response": lambda: fast_path.write(model, known, len(known), caller, 0.0),
    }
    number = max(1, _CALLS // count // _BATCHES)
    return {name: min(repeat(call, number=number, repeat=_BATCHES)) / number for name, call in calls.items()}


def _protocol(app: Application, paths: Mapping[bytes, Choosy]) -> Callable[..., Any]:
    limits = Limits(connections=_CONNECTIONS, head_bytes=65_536, head_s=10.0, keep_alive_s=75.0)
    return partial(FastHttpConnection, Shared(paths, app.refusals, limits))


async def profile(redis: str, folder: Path, repeats: int) -> None:
    """Measure every row in turn, several times, and print the least of each."""
    keys, free, metered = _keys(folder)
    settings = {"MLAPI_ENGINE": "fake", "MLAPI_REDIS_URL": redis, "MLAPI_REDIS_TIMEOUT_MS": _PATIENCE_MS}
    both = create_app(read_settings(settings), {})
    l2_only = create_app(read_settings(settings | {"MLAPI_L1_BYTES": "0"}), {})
    keyed = create_app(read_settings(settings | {"MLAPI_KEYS_FILE": keys}), {})
    pairs = [_post("predict", pair) for pair in _pairs()]
    bulk = [_post("bulk-predict", _TEXTS)]
    orders = [_post("bulk-predict", _shuffled(seed)) for seed in range(12)]
    tei = [_post("tei/predict", pair, TEI) for pair in _pairs()]
    oip = [_post("v2/models/project/infer", pair, TENSORS) for pair in _pairs()]
    short, short_l2 = (_protocol(app, {**fast_paths(app), **dialect_paths(app)}) for app in (both, l2_only))
    short_keyed = _protocol(keyed, fast_paths(keyed))
    usual, usual_l2 = (_protocol(app, {}) for app in (both, l2_only))
    rows = [
        Row("hello", HttpToolsProtocol, hello, [b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"]),
        Row("2 texts in L1", short, both, pairs),
        Row("2 texts in L1, hardly a body twice", short, both, _random_pairs()),
        Row("2 texts in L1, through a proxy that adds an id", short, both, islice(_proxied(), _IDS)),
        Row("2 texts in L1, with an API key", short_keyed, keyed, _held_by(free)),
        Row("2 texts in L1, with a quota", short_keyed, keyed, _held_by(metered)),
        Row("2 texts in L1, the usual way", usual, both, pairs),
        Row("2 texts in L1, as text-embeddings-inference's clients ask", short, both, tei),
        Row("2 texts in L1, as the Open Inference Protocol's", short, both, oip),
        Row("2 texts in Redis", short_l2, l2_only, pairs),
        Row("2 texts in Redis, hardly a body twice", short_l2, l2_only, _random_pairs()),
        Row("2 texts in Redis, the usual way", usual_l2, l2_only, pairs),
        Row("1 000 texts in L1, one order", short, both, bulk, connections=1),
        Row("1 000 texts in L1, any order", short, both, orders, connections=1),
        Row("1 000 texts in Redis, any order", short_l2, l2_only, orders, connections=1),
    ]
    async with AsyncExitStack() as stack:
        for app in (both, l2_only, keyed):
            await stack.enter_async_context(app.router.lifespan_context(app))
        for protocol, app in ((short, both), (short_l2, l2_only)):
            await measure(Row("", protocol, app, bulk, connections=1), rounds=2)
            await measure(Row("", protocol, app, pairs), rounds=16)
        for key in (free, metered):
            await measure(Row("", short_keyed, keyed, _held_by(key)), rounds=16)
        gc.collect()
        gc.freeze()
        least = dict.fromkeys((row.name for row in rows), float("inf"))
        for _ in range(repeats):
            for row in rows:
                least[row.name] = min(least[row.name], await measure(row))
        own = {count: parts(both, count) for count in (2, len(_TEXTS))}
    click.echo("| request | µs | of hello |\n|---|---|---|")
    for name, seconds in least.items():
        click.echo(f"| {name} | {seconds * _US:.1f} | {seconds / least['hello']:.2f} |")
    for count, costs in own.items():
        click.echo(f"\n| the service's own part of {count} texts in L1 | µs |\n|---|---|")
        for name, seconds in costs.items():
            click.echo(f"| {name} | {seconds * _US:.1f} |")


@click.command()
@click.option("--repeats", default=3, show_default=True, help="How often all rows are measured; the least counts.")
def main(repeats: int) -> None:
    """Print what a cached answer costs the server's processor."""
    redis = PrivateRedis()
    try:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(profile(redis.url, Path(folder), repeats))
    finally:
        redis.stop()


if __name__ == "__main__":
    main()
