"""Measures whether the time of a look-up tells which API keys exist: `python -m benchmarks.key_timing`.

Kinds of key take turns, in an order drawn anew for each round, so that whatever the machine does meets all of them. One
kind comes twice: what these two differ by is what the measurement itself is worth.
"""

import statistics
import sys
import time
from random import Random
from typing import Final

from mlapi.access.gate import Gate
from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import KeyRecord
from mlapi.errors import UnauthorizedError
from mlapi.observability.metrics import Metrics

ROUNDS: Final = 200_000
KNOWN: Final = 1_000


def kinds() -> tuple[Gate, dict[str, list[list[tuple[bytes, bytes]]]]]:
    """Return a gate with a thousand keys, half of them with two secrets, and headers of each kind of wrong key."""
    keys = [make_key() for _ in range(KNOWN)]
    hashes = [(key.digest.hex(), make_key(key.id).digest.hex())[: 1 + number % 2] for number, key in enumerate(keys)]
    gate = Gate(Metrics(), now=time.time)
    gate.admit_only(Keyring([KeyRecord(key.id, pair, "test") for key, pair in zip(keys, hashes, strict=True)]))

    def wrong(made: list[ApiKey]) -> list[list[tuple[bytes, bytes]]]:
        return [[(b"authorization", f"Bearer {key}".encode())] for key in made]

    # As many different ones of each kind: fewer would lie in the processor's cache, and be faster for that.
    return gate, {
        "unknown id": wrong([make_key() for _ in keys[::2]] * 2),
        "unknown id, again": wrong([make_key() for _ in keys[::2]] * 2),
        "known id, one secret": wrong([make_key(key.id) for key in keys[::2] * 2]),
        "known id, two secrets": wrong([make_key(key.id) for key in keys[1::2] * 2]),
    }


def measure() -> dict[str, list[int]]:
    """Return the times of refusals by kind, nanoseconds."""
    gate, headers = kinds()
    random = Random("key timing")  # noqa: S311  reproducible, not secret
    taken: dict[str, list[int]] = {kind: [] for kind in headers}
    order = list(headers)
    for number in range(ROUNDS):
        random.shuffle(order)
        for kind in order:
            given = headers[kind][number % KNOWN]
            started = time.perf_counter_ns()
            try:
                gate.admit(given, "project", "predict")
            except UnauthorizedError:
                taken[kind].append(time.perf_counter_ns() - started)
    return taken


def main() -> None:
    """Print the quartiles of each kind, and how far its median is from that of an unknown id."""
    taken = measure()
    base = statistics.median(taken["unknown id"])
    for kind, times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        sys.stdout.write(
            f"{kind:<22} {low:7.0f} {middle:7.0f} {high:7.0f} ns   {100 * (middle / base - 1):+5.2f} %   {len(times)}\n"
        )


if __name__ == "__main__":
    main()
