"""`mlapi bench`: measures a running service with the load client that the project's own benchmark uses."""

import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec
import uvloop

from mlapi.bench.load import LoadError, Target, closed_loop, open_loop
from mlapi.bench.outcome import Outcome
from mlapi.bench.traffic import Traffic, read_words
from mlapi.cli.given_key import read_given_key
from mlapi.cli.number_range import NumberRange
from mlapi.settings import DEFAULT_BUNDLE

_HTTP_PORT: Final = 80
_WARM_BATCH: Final = 100
_KNOWN_TOKENS: Final = 16
_QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
_TIMEOUT_S: Final = 60.0
_TOKENIZER: Final = "tokenizer.json"
_BUSY: Final = 0.9
"""Share of its processor above which the client may be what is measured."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The command's options."""

    connections: int
    seconds: float
    rate: float | None
    batch: int
    known: int
    hit_ratio: float
    tokenizer: Path
    key_file: Path | None
    seed: str


@click.command()
@click.argument("url", default="http://127.0.0.1:8000/project")
@click.option("--connections", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option("--seconds", type=NumberRange(0, min_open=True), default=10.0, show_default=True)
@click.option("--rate", type=NumberRange(0, min_open=True), help="Requests a second; default: as many as it can.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Texts in one request.")
@click.option("--known", type=click.IntRange(1), default=1_000, show_default=True, help="Texts asked for beforehand.")
@click.option(
    "--hit-ratio",
    type=NumberRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of known texts, chosen by Zipf's law; the rest are new and of mixed lengths.",
)
@click.option(
    "--tokenizer",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_BUNDLE / _TOKENIZER,
    help="The model's tokenizer.json, whose words the texts are made of; default: the shipped model's.",
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="File with the API key to ask with; -: standard input.",
)
@click.option("--seed", help="Makes the same texts again; default: others each time.")
@click.option("--json", "as_json", is_flag=True, help="The figures, for machines.")
def bench(url: str, seed: str | None, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401  click's own values
    r"""Put load on the service at URL (http://HOST:PORT/ROOT) and say how it answered.

    Asks for the known texts first, then for --seconds puts on the load. With --rate, requests are sent at fixed times
    whatever the service does, and latencies count from those times. The service keeps the made-up texts in its caches.

    \b
    Exit codes: 0 every request was answered with 200, 1 some were not, or the service cannot be reached, 2 wrong usage.
    """
    plan, target = _Plan(seed=seed or secrets.token_hex(8), **options), _target(url, options["key_file"])
    try:
        words = read_words(plan.tokenizer)
    except (OSError, ValueError) as error:
        msg = f"no words to make texts of: {error}; --tokenizer names a tokenizer.json"
        raise click.ClickException(msg) from error
    try:
        outcome, busy = uvloop.run(_drive(target, Traffic(words, plan.seed), plan))
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    if busy > _BUSY:
        _say(f"this client used {busy:.0%} of a processor: it may have been the limit, not the service")
    figures = _figures(outcome, plan)
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
    else:
        click.echo("\n".join(f"{name:<18}{_write(value)}" for name, value in figures.items()))
    if not outcome.answered:
        _say("no request was answered with 200: there is nothing to tell")
    sys.exit(bool(outcome.failed) or not outcome.answered)


def _target(url: str, key_file: Path | None) -> Target:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        # It is not shown: there may be a password in it.
        msg = "the URL must be like http://HOST:PORT/ROOT, without a query, a fragment or a user"
        raise click.UsageError(msg)
    headers = {}
    if key_file is not None:
        headers["authorization"] = f"Bearer {read_given_key(key_file)}"
    return Target(parts.hostname, port or _HTTP_PORT, parts.path.rstrip("/"), headers)


async def _drive(target: Target, traffic: Traffic, plan: _Plan) -> tuple[Outcome, float]:
    """Ask for the known texts, then put on the load; returns what came of it and the client's share of a processor."""
    _say(f"asking for {plan.known} texts, so that they are known")
    known = list(islice(traffic.texts(_KNOWN_TOKENS), plan.known))
    batches = (known[start : start + _WARM_BATCH] for start in range(0, len(known), _WARM_BATCH))
    warm = (target.post("/bulk-predict", _body(batch)) for batch in batches)
    first = await closed_loop(target, warm, connections=1, clock=time.perf_counter)
    if first.failed:
        answers = ", ".join(map(str, sorted(first.statuses))) or "nothing"
        msg = f"{target.root}/bulk-predict answered {answers} when it was asked for the known texts"
        raise LoadError(msg)
    pace = "as fast as they are answered" if plan.rate is None else f"{plan.rate:g} a second"
    _say(f"sending requests of {plan.batch} texts, {pace}, for {plan.seconds:g} s")
    requests = _requests(target, traffic.popular(known, plan.hit_ratio, traffic.mixed()), plan.batch)
    started = time.process_time()
    if plan.rate is None:
        outcome = await closed_loop(
            target,
            requests,
            connections=plan.connections,
            seconds=plan.seconds,
            clock=time.perf_counter,
            timeout_s=plan.seconds + _TIMEOUT_S,
        )
    else:
        outcome = await open_loop(
            target,
            requests,
            rate=plan.rate,
            count=max(1, round(plan.rate * plan.seconds)),
            connections=plan.connections,
            clock=time.perf_counter,
            timeout_s=plan.seconds + _TIMEOUT_S,
        )
    return outcome, (time.process_time() - started) / outcome.seconds


def _requests(target: Target, texts: Iterator[str], batch: int) -> Iterator[bytes]:
    while True:
        yield target.post("/predict", _body(list(islice(texts, batch))))


def _body(texts: list[str]) -> bytes:
    return msgspec.json.encode({"text": texts})


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)


def _figures(outcome: Outcome, plan: _Plan) -> dict[str, float | int | str | dict[str, int] | None]:
    quantiles = {
        f"p{share * 100:g}_ms": outcome.quantile_s(share) * 1000 if outcome.answered else None for share in _QUANTILES
    }
    return {
        "requests_per_s": outcome.rate,
        "texts_per_s": outcome.rate * plan.batch,
        **quantiles,
        "answered": outcome.answered,
        "failed": outcome.failed,
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "lost": outcome.lost,
        "seconds": outcome.seconds,
        "seed": plan.seed,
    }


def _write(value: float | str | dict[str, int] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{count} x {status}" for status, count in value.items()) or "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
