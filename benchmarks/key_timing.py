"""Measures whether the time of a refusal tells which API keys exist: `python -m benchmarks.key_timing`.

Kinds of wrong key take turns, in an order drawn anew for each round, so that whatever the machine does meets all of
them. One kind comes twice: what these two differ by is what the measurement itself is worth. It is done in this
process, and, with `--http`, over a connection to `mlapi serve`, as somebody would who guesses ids. `longer` is the
share of pairs in which the refusal took longer than that of an unknown id (the area under the ROC curve): 50 % says
nothing.
"""

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalogue import PEERS, ROOT
from benchmarks.dialects import PLAIN
from benchmarks.servers import Places, Server
from mlapi.access.gate import Gate
from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import KeyRecord, write_keys
from mlapi.errors import UnauthorizedError
from mlapi.observability.metrics import Metrics
from mlapi.settings import DEFAULT_BUNDLE

ROUNDS: Final = 200_000
ROUNDS_OVER_HTTP: Final = 20_000
KNOWN: Final = 1_000
UNKNOWN: Final = "unknown id"
_QUARTILES: Final = (25, 50, 75)

T = TypeVar("T")
Times = Mapping[str, NDArray[np.int64]]


def wrong_keys() -> tuple[list[KeyRecord], dict[str, list[ApiKey]]]:
    """Return a thousand keys, half of them with two secrets, and as many wrong ones of each kind."""
    keys = [make_key() for _ in range(KNOWN)]
    hashes = [(key.digest.hex(), make_key(key.id).digest.hex())[: 1 + number % 2] for number, key in enumerate(keys)]
    # As many different ones of each kind: fewer would lie in the processor's cache, and be faster for that. And in an
    # order of their own: places of the file that are visited one after the other are fetched ahead.
    random = Random("keys")  # noqa: S311  reproducible, not secret
    one, two = (random.sample(keys[place::2], KNOWN // 2) for place in (0, 1))
    return [KeyRecord(key.id, pair, "test") for key, pair in zip(keys, hashes, strict=True)], {
        UNKNOWN: [make_key() for _ in one] * 2,
        "unknown id, again": [make_key() for _ in one] * 2,
        "known id, one secret": [make_key(key.id) for key in one] * 2,
        "known id, two secrets": [make_key(key.id) for key in two] * 2,
    }


def measure(
    wrong: Mapping[str, Sequence[ApiKey]], ask: Callable[[ApiKey], T], refuse: Callable[[T], object], rounds: int
) -> Times:
    """Return the times of refusals by kind, nanoseconds; `ask` makes of a key what is refused, beforehand."""
    asked = {kind: [ask(key) for key in keys] for kind, keys in wrong.items()}
    random = Random("key timing")  # noqa: S311  reproducible, not secret
    taken = {kind: np.zeros(rounds, np.int64) for kind in wrong}
    order = list(wrong)
    for number in range(rounds):
        random.shuffle(order)
        for kind in order:
            request = asked[kind][number % KNOWN]
            started = time.perf_counter_ns()
            refuse(request)
            taken[kind][number] = time.perf_counter_ns() - started
    return taken


def in_process(records: list[KeyRecord], wrong: Mapping[str, Sequence[ApiKey]]) -> Times:
    """Measure the look-up alone."""
    gate = Gate(Metrics(), now=time.time)
    gate.admit_only(Keyring(records))

    def ask(key: ApiKey) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", f"Bearer {key}".encode())]

    def refuse(headers: list[tuple[bytes, bytes]]) -> None:
        try:
            gate.admit(headers, "project", "predict")
        except UnauthorizedError:
            return
        raise AssertionError

    return measure(wrong, ask, refuse, ROUNDS)


def over_http(records: list[KeyRecord], wrong: Mapping[str, Sequence[ApiKey]]) -> Times:
    """Measure requests over one connection, from the first byte sent to the last received."""
    with tempfile.TemporaryDirectory() as folder:
        scratch, own = Path(folder), make_key()
        (scratch / "keys.json").write_bytes(write_keys([*records, KeyRecord(own.id, (own.digest.hex(),), "probe")]))
        places = Places(programs=ROOT / ".venv" / "bin", model=DEFAULT_BUNDLE, redis="", scratch=scratch)
        extra = {"MLAPI_ENGINE": "fake"} | dict(PEERS["mlapi"].keyed or {})
        probe, sends = PLAIN.write(["a probe"]), {"authorization": f"Bearer {own}"}
        with Server(PEERS["mlapi"], places, (0,), extra, probe, headers=sends) as server:
            path, target = PEERS["mlapi"].single, server.target

            def ask(key: ApiKey) -> bytes:
                return target.post(path, probe, headers={"authorization": f"Bearer {key}"})

            with socket.create_connection((target.host, target.port)) as connection:

                def refuse(request: bytes) -> None:
                    connection.sendall(request)
                    answer = b""
                    while not answer.endswith(b"}"):
                        answer += connection.recv(65_536)
                    if not answer.startswith(b"HTTP/1.1 401 "):
                        message = f"not a refusal: {answer!r}"
                        raise SystemExit(message)

                return measure(wrong, ask, refuse, ROUNDS_OVER_HTTP)


def longer(times: NDArray[np.int64], base: NDArray[np.int64]) -> float:
    """Return in which share of all pairs the first is longer than the second; equal ones count half."""
    ordered = np.sort(base)
    below = np.searchsorted(ordered, times, "left") + np.searchsorted(ordered, times, "right")
    return float(below.sum() / (2 * len(times) * len(base)))


def main() -> None:
    """Print the quartiles of each kind, and how it compares with an unknown id."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.key_timing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--http", action="store_true", help="over a connection to the service")
    taken = (over_http if parser.parse_args().http else in_process)(*wrong_keys())
    base = taken[UNKNOWN]
    for kind, times in taken.items():
        low, middle, high = np.percentile(times, _QUARTILES)
        sys.stdout.write(
            f"{kind:<22} {low:7.0f} {middle:7.0f} {high:7.0f} ns   {100 * (middle / np.median(base) - 1):+5.2f} %   "
            f"longer {100 * longer(times, base):5.2f} %   {len(times)}\n"
        )


if __name__ == "__main__":
    main()
