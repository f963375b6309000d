"""`mlapi bench`: measures a running service with the load client that the project's own benchmark uses."""

import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec
import uvloop

from mlapi.cli.load import LoadError, Target, closed_loop, open_loop
from mlapi.cli.outcome import Outcome
from mlapi.cli.traffic import Traffic, read_words
from mlapi.settings import DEFAULT_BUNDLE

_HTTP_PORT: Final = 80
_WARM_BATCH: Final = 100
_KNOWN_TOKENS: Final = 16
_QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """The command's options."""

    connections: int
    seconds: float
    rate: float | None
    batch: int
    known: int
    hit_ratio: float
    seed: str


@click.command()
@click.argument("url", default="http://127.0.0.1:8000/project")
@click.option("--connections", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second; default: as many as it can.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Texts in one request.")
@click.option("--known", type=click.IntRange(1), default=1_000, show_default=True, help="Texts asked for beforehand.")
@click.option(
    "--hit-ratio",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of known texts, chosen by Zipf's law; the rest are new and of mixed lengths.",
)
@click.option("--seed", help="Makes the same texts again; default: others each time.")
@click.option("--json", "as_json", is_flag=True, help="The figures, for machines.")
def bench(url: str, seed: str | None, *, as_json: bool, **options: object) -> None:
    r"""Put load on the service at URL (http://HOST:PORT/ROOT) and say how it answered.

    With --rate, requests are sent at fixed times whatever the service does, and latencies count from those times.

    \b
    Exit codes: 0 every request was answered with 200, 1 some were not, or the service cannot be reached, 2 wrong usage.
    """
    plan = msgspec.convert({"seed": seed or secrets.token_hex(8), **options}, _Plan)
    try:
        outcome = uvloop.run(_drive(_target(url), plan))
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    figures = _figures(outcome, plan)
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
    else:
        click.echo("\n".join(f"{name:<18}{_write(value)}" for name, value in figures.items()))
    sys.exit(bool(outcome.failed))


def _target(url: str) -> Target:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if parts.scheme != "http" or not parts.hostname:
        msg = f"{url} is not like http://HOST:PORT/ROOT"
        raise click.UsageError(msg)
    return Target(parts.hostname, port or _HTTP_PORT, parts.path.rstrip("/"))


async def _drive(target: Target, plan: _Plan) -> Outcome:
    """Ask for the known texts, then put on the load."""
    traffic = Traffic(read_words(DEFAULT_BUNDLE / "tokenizer.json"), plan.seed)
    known = list(islice(traffic.texts(_KNOWN_TOKENS), plan.known))
    batches = (known[start : start + _WARM_BATCH] for start in range(0, len(known), _WARM_BATCH))
    warm = (target.post("/bulk-predict", _body(batch)) for batch in batches)
    first = await closed_loop(target, warm, connections=1, clock=time.perf_counter)
    if first.failed:
        msg = f"{target.root}/bulk-predict answered {', '.join(map(str, sorted(first.statuses)))}"
        raise LoadError(msg)
    requests = _requests(target, traffic.popular(known, plan.hit_ratio, traffic.mixed()), plan.batch)
    if plan.rate is None:
        return await closed_loop(
            target,
            requests,
            connections=plan.connections,
            seconds=plan.seconds,
            clock=time.perf_counter,
            timeout_s=plan.seconds + _TIMEOUT_S,
        )
    return await open_loop(
        target,
        requests,
        rate=plan.rate,
        count=max(1, round(plan.rate * plan.seconds)),
        connections=plan.connections,
        clock=time.perf_counter,
        timeout_s=plan.seconds + _TIMEOUT_S,
    )


def _requests(target: Target, texts: Iterator[str], batch: int) -> Iterator[bytes]:
    while True:
        yield target.post("/predict", _body(list(islice(texts, batch))))


def _body(texts: list[str]) -> bytes:
    return msgspec.json.encode({"text": texts})


def _figures(outcome: Outcome, plan: _Plan) -> dict[str, float | int | str | None]:
    quantiles = {
        f"p{share * 100:g}_ms": outcome.quantile_s(share) * 1000 if outcome.answered else None for share in _QUANTILES
    }
    return {
        "requests_per_s": outcome.rate,
        "texts_per_s": outcome.rate * plan.batch,
        **quantiles,
        "answered": outcome.answered,
        "failed": outcome.failed,
        "seconds": outcome.seconds,
        "seed": plan.seed,
    }


def _write(value: float | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
