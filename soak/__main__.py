"""Soaks the service: steady requests in every wire format, faults, attacks, key rotation and restarts, for hours."""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop

from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from soak.attacks import Attacks
from soak.corpus import CORPUS
from soak.faults import Faults
from soak.fleet import Fleet, use_of
from soak.gauges import Gauges
from soak.ledger import Ledger
from soak.reference import Reference
from soak.relay import Relay
from soak.report import Soak, judge, picture, text
from soak.traffic import Keyholder, Metered, Traffic
from tests.e2e.api_keys import KeysFile
from tools.private_redis import PrivateRedis, StartError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_LEAST_S: Final = 180
_SETTINGS: Final = {
    "threads": "1",
    # What a busy machine needs, and far below what the faults take.
    "redis_timeout_ms": "200",
    "deadline_s": "30",
    "cache_ttl_s": "45",
    "l1_bytes": "131072",
    "cache": "both",
    "drain_s": "4",
    "head_timeout_s": "3",
    "keep_alive_s": "30",
}
_SETTLE_S: Final = 40
"""How long descriptors may take to close after the last caller: what the slowest bound of a connection allows."""


def duration(words: str) -> int:
    """Read a duration such as 90s, 10m or 8h, in seconds.

    Raises:
        ArgumentTypeError: it is none, or too short for every fault to be injected once.
    """
    found = re.fullmatch(r"(\d+)([smh]?)", words)
    seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if seconds < _LEAST_S:
        msg = f"{words!r} is not a duration like 10m or 8h, of {_LEAST_S} s at least"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def positive(words: str) -> float:
    """Read a number above zero.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = float(words)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        msg = f"{words!r} is not a number above 0"
        raise argparse.ArgumentTypeError(msg)
    return number


def count(words: str) -> int:
    """Read a whole number above zero."""
    return max(1, int(positive(words)))


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    made.add_argument("--duration", type=duration, default=600, help="how long, like 10m or 8h (default: 10m)")
    made.add_argument("--rate", type=positive, default=100.0, help="steady requests a second (default: 100)")
    made.add_argument("--callers", type=count, default=24, help="connections that send them (default: 24)")
    made.add_argument("--attacks", type=positive, default=5.0, help="attacks a second (default: 5)")
    made.add_argument("--texts", type=count, default=1_500, help="different texts of each model (default: 1500)")
    made.add_argument("--seed", type=int, default=None, help="for the same requests again (default: another each time)")
    made.add_argument("--output", type=Path, default=Path("build/soak"), help="folder of the report (build/soak)")
    return made


def say(words: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    sys.stdout.flush()


async def soak(options: argparse.Namespace, redis: PrivateRedis, folder: Path, seed: int) -> Soak:
    """Do it."""
    rng, ledger = random.Random(seed), Ledger(say)  # noqa: S311  traffic, not secrets
    say(f"computing the right answers to {options.texts} texts of each model; seed {seed}")
    reference = Reference({"/project": DEFAULT_BUNDLE, "/lab": LAB_BUNDLE}, count=options.texts, seed=seed)
    keys = KeysFile(folder)
    keyholder = Keyholder(keys.add("steady", quota={"texts_per_second": 1_000_000}))
    metered = keys.add("metered", quota={"texts_per_second": Metered.RATE, "burst": Metered.BURST})
    attackers = {"free": keys.add("free"), "lab": keys.add("lab only", models=["lab"])}
    way_to_redis = Relay([redis.port])
    await way_to_redis.start()
    fleet = Fleet(
        _SETTINGS | {"keys_file": str(keys.path), "redis_url": f"redis://127.0.0.1:{way_to_redis.port}/0"}, ledger
    )
    await fleet.start()
    idle = use_of(fleet.elder.pid).descriptors
    traffic = Traffic(reference, keyholder, ledger, rng)
    faults = Faults(fleet=fleet, redis=redis, way_to_redis=way_to_redis, keys=keys, keyholder=keyholder, ledger=ledger)
    attacks = Attacks(fleet=fleet, reference=reference, keys=attackers, corpus=CORPUS, ledger=ledger, rng=rng)
    gauges = Gauges(fleet, ledger)
    started = time.monotonic()

    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)

    def late() -> bool:
        return interrupted.is_set() or time.monotonic() - started >= options.duration

    def over() -> bool:
        return faults.done

    say("Ctrl-C ends it early, with a report")
    say(f"soaking for {options.duration} s at {options.rate:g} requests a second, door {fleet.door.port}")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.run(fleet.door.port, rate=options.rate, callers=options.callers, over=over))
            group.create_task(Metered(reference, metered, ledger).run(fleet.door.port, over))
            group.create_task(faults.run(min(60.0, max(4.0, options.duration / 200)), late))
            group.create_task(attacks.run(options.attacks, over))
            group.create_task(gauges.run(max(1.0, options.duration / 600), over))
            group.create_task(progress(ledger, faults, started, over))
        seconds = time.monotonic() - started
        after = await settled(fleet.elder.pid, idle)
        await fleet.stop()
    finally:
        fleet.kill()
        way_to_redis.close()
    return Soak(
        seconds=seconds,
        ways=traffic.titles,
        attacks=[*attacks.all],
        faults=[*faults.all],
        replaced=fleet.replaced,
        redis_hurt_s=faults.redis_hurt_s,
        idle_descriptors=(idle, after),
        ledger=ledger,
        samples=gauges.samples,
        events=[(at - started, name) for at, name in faults.events],
    )


async def settled(pid: int, idle: int) -> int:
    """Wait until the last connections are closed; return how many descriptors are open then."""
    for _ in range(_SETTLE_S):
        if use_of(pid).descriptors <= idle:
            break
        await asyncio.sleep(1.0)
    return use_of(pid).descriptors


async def progress(ledger: Ledger, faults: Faults, started: float, over: Callable[[], bool]) -> None:
    """Say how it goes from time to time."""
    while not over():
        await asyncio.sleep(30.0)
        say(
            f"{time.monotonic() - started:6.0f} s: {ledger.answered.total()} right answers, "
            f"{ledger.faults.total()} faults, {ledger.attacks.total()} attacks, {ledger.failures.total()} failures; "
            f"last: {faults.events[-1][1] if faults.events else 'nothing'}"
        )


def main() -> int:
    """Soak, and write the report; return 1 when it failed."""
    options = parser().parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4))
    with ExitStack() as stack:
        try:
            redis = stack.enter_context(PrivateRedis())
        except StartError as error:
            sys.stderr.write(f"{error}: a soak needs a redis-server\n")
            return 2
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        done = uvloop.run(soak(options, redis, folder, seed))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "report.txt").write_text(text(done), encoding="utf-8")
    (options.output / "soak.svg").write_text(picture(done), encoding="utf-8")
    sys.stdout.write(text(done))
    say(f"written to {options.output}")
    return 1 if judge(done) else 0


if __name__ == "__main__":
    sys.exit(main())
