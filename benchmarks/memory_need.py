"""Measures what `memory_bytes` of a bundle's manifest should say, and what a process needs before it has a model.

Run `python -m benchmarks.memory_need BUNDLE…`. Each bundle is served in a process of its own without L1, with two
threads, and gets for half a minute what is expensive for a model: from 16 callers texts as long as the service takes,
and requests of 2 000 short ones. `memory_bytes` is the peak of resident memory less what a process without a model has,
and 20 %. What bodies of megabytes need besides depends on the settings, not on the model, and is not in it.
"""

import asyncio
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlapi.bench.load import Target, closed_loop
from mlapi.bench.outcome import Outcome
from mlapi.settings import LAB_BUNDLE, PREFIX

HOST: Final = "127.0.0.1"
SECONDS: Final = 30.0
CALLERS: Final = 16
LONGEST: Final = 19_000
"""Characters in a text; the service takes a few more."""

MARGIN: Final = 1.2
THREADS: Final = "2"
START_S: Final = 60.0

_BARE: Final = (
    "import mlapi.app, mlapi.server.draining, mlapi.server.fast_path, mlapi.server.fast_protocol, uvloop, httptools;"
    "print(open('/proc/self/status').read())"
)
"""A process that has imported what every service imports."""


def peak_bytes(status: str) -> int:
    """Read the peak of resident memory out of proc(5), /proc/pid/status."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        msg = "the system does not tell the peak of resident memory"
        raise OSError(msg)
    return int(found[1]) * 1024


def requests(target: Target) -> Iterator[bytes]:
    """Yield long texts and long lists of short ones in turn, none twice, in words that both shipped models know."""
    terms = json.loads((LAB_BUNDLE / "vocabulary.json").read_bytes())["terms"]
    words = [term for term in terms if term.isalpha()]
    for number in itertools.count():
        rotated = words[number % len(words) :] + words[: number % len(words)]
        text = " ".join(rotated)[:LONGEST]
        yield target.post("/predict", json.dumps({"text": text}).encode())
        if number % CALLERS == 0:
            pairs = [f"{word} {rotated[0]} {number}" for word in rotated[:2_000]]
            yield target.post("/bulk-predict", json.dumps({"text": pairs}).encode())


async def ready(port: int) -> None:
    """Wait until a service listens.

    Raises:
        TimeoutError: it does not come.
    """
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def load(port: int) -> Outcome:
    """Put the load on a service, and return what became of it."""
    await ready(port)
    target = Target(HOST, port, "/project")
    return await closed_loop(target, requests(target), connections=CALLERS, clock=time.monotonic, seconds=SECONDS)


def served_peak(bundle: Path) -> tuple[int, Outcome]:
    """Serve a bundle under load; return the peak of the process's memory, bytes, and what became of the load."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    settings = {"HOST": HOST, "PORT": str(port), "BUNDLE": str(bundle), "L1_BYTES": "0", "THREADS": THREADS}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment = inherited | {f"{PREFIX}{name}": value for name, value in settings.items()} | {"MLAPI_DRAIN_S": "0"}
    command = [sys.executable, "-m", "mlapi", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603  our own
        try:
            outcome = asyncio.run(load(port))
            return peak_bytes(Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")), outcome
        finally:
            process.terminate()


def main(bundles: list[Path]) -> None:
    """Measure and print."""
    bare = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=True)  # noqa: S603  our own
    base = peak_bytes(bare.stdout)
    sys.stdout.write(f"a process without a model has {base} bytes, with the margin {int(MARGIN * base)}\n")
    for bundle in bundles:
        peak, outcome = served_peak(bundle)
        if not outcome.answered:
            sys.exit(f"{bundle.name}: no request was answered, {outcome.failed} were refused: nothing was measured")
        need = int(MARGIN * (peak - base))
        answered = f"{outcome.answered} requests answered, {outcome.failed} refused"
        sys.stdout.write(f"{bundle.name}: peak {peak} bytes ({answered}), memory_bytes {need}\n")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
