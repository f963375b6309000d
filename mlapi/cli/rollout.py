"""`mlapi rollout`: warms a new version with the hot texts of the old one, and compares the two."""

import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from mlapi.cli.given_key import read_given_key
from mlapi.cli.number_range import NumberRange

if TYPE_CHECKING:
    from mlapi.rollout.gate import Compared, Plan, Warmed

EXIT_FAILED: Final = 1
EXIT_UNMEASURED: Final = 3

_EXITS: Final = {"passed": 0, "failed": EXIT_FAILED, "unmeasured": EXIT_UNMEASURED}
_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_OUT: Final = click.Path(dir_okay=False, path_type=Path)

_Command = Callable[..., None]


def _asking(command: _Command) -> _Command:
    """Add the options that every subcommand has."""
    for option in reversed(
        (
            click.option("--from", "old", required=True, help="The version that serves: http://HOST:PORT/ROOT."),
            click.option("--to", "new", required=True, help="The version that is to: http://HOST:PORT/ROOT."),
            click.option(
                "--key-file",
                type=_FILE,
                help="File with an API key of the scopes predict and admin, for both versions; -: standard input.",
            ),
            click.option(
                "--texts",
                "texts",
                multiple=True,
                type=_FILE,
                help="File of further texts, a line each; may be given more than once. With it the old version need "
                "not keep a sample of hot texts.",
            ),
            click.option(
                "--limit", type=click.IntRange(1, 20_000), default=5_000, show_default=True, help="Hot texts."
            ),
            click.option(
                "--asks",
                type=click.IntRange(1, 100),
                default=4,
                show_default=True,
                help="How often to ask for hot texts, each time on a new connection: the more pods, the more.",
            ),
            click.option(
                "--texts-per-second",
                type=NumberRange(0, min_open=True, max=1e6),
                default=200.0,
                show_default=True,
                help="At most so many; half of it each time that a version asks to come again later.",
            ),
            click.option(
                "--seconds",
                type=NumberRange(0, min_open=True, max=86_400),
                default=120.0,
                show_default=True,
                help="For each address that is warmed, and for each version that is compared.",
            ),
            click.option("--expect-digest", "expected", default="", help="What the new model's digest begins with."),
        )
    ):
        command = option(command)
    return command


def _judging(command: _Command) -> _Command:
    """Add the bounds of a comparison."""
    share = NumberRange(0, 1)
    for option in reversed(
        (
            click.option(
                "--min-texts",
                type=click.IntRange(1),
                default=100,
                show_default=True,
                help="With fewer texts nothing is judged.",
            ),
            click.option(
                "--max-flip-rate",
                type=share,
                default=0.02,
                show_default=True,
                help="Share whose label may change, of the texts and of the requests for them.",
            ),
            click.option(
                "--max-label-flip-rate",
                type=share,
                default=0.05,
                show_default=True,
                help="The same of the texts of each label.",
            ),
            click.option(
                "--min-label-texts",
                type=click.IntRange(1),
                default=20,
                show_default=True,
                help="A label with fewer texts is reported and not judged by itself.",
            ),
            click.option(
                "--max-score-shift",
                type=share,
                default=0.05,
                show_default=True,
                help="How far the score of the old version's label may move, on average.",
            ),
        )
    ):
        command = option(command)
    return command


_JSON: Final = click.option("--json", "as_json", is_flag=True, help="The report, for machines; it has no text in it.")
_METRICS: Final = click.option(
    "--metrics", "metrics_file", type=_OUT, help="Also write the figures there, in Prometheus's text format."
)


@click.group()
def rollout() -> None:
    """Prepare and judge a new version before it gets traffic."""


@rollout.command()
@_asking
@_JSON
@_METRICS
def warm(*, as_json: bool, metrics_file: Path | None, **options: Any) -> None:  # noqa: ANN401  click's own values
    r"""Have the new version answer what the old one is asked for most, so that its cache knows it.

    The old version must keep a sample (MLAPI_HOT_TEXTS_BYTES). Texts are asked for one request at a time.

    \b
    Exit codes: 0 at least 95 % of the texts were answered or refused for good, 1 fewer were, 2 wrong usage,
    3 a version cannot be asked, or there are no hot texts.
    """
    from mlapi.rollout import gate  # noqa: PLC0415  the help does not need it

    plan = _plan(**options)
    _finish(_measure(lambda: gate.warm(plan, list(gate.collect(plan)))), metrics_file, as_json=as_json)


@rollout.command()
@_asking
@_judging
@_JSON
@_METRICS
def compare(*, as_json: bool, metrics_file: Path | None, **options: Any) -> None:  # noqa: ANN401  as above
    r"""Ask both versions for the hot texts of the old one, and judge how far they are apart.

    \b
    Exit codes: 0 within all bounds, or both serve the same model digest; 1 beyond one; 2 wrong usage;
    3 nothing was judged: a version cannot be asked, or too few texts could be compared.
    """
    from mlapi.rollout import gate  # noqa: PLC0415  as above

    plan = _plan(**options)
    _finish(
        _measure(lambda: gate.same_model(plan) or gate.compare_versions(plan, gate.collect(plan))),
        metrics_file,
        as_json=as_json,
    )


@rollout.command()
@_asking
@_judging
@click.option("--host", default="::", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
def serve(*, host: str, port: int, **options: Any) -> None:  # noqa: ANN401  as above
    r"""Answer webhooks: POST /pre-rollout warms and compares, POST /compare compares; 200 is a pass, 409 is none.

    GET /livez, /readyz and /metrics are for the cluster. Of the body, metadata.digest is what the new version's model
    digest has to begin with. The same judgement is made once at a time, for everyone who asks for it meanwhile.
    """
    import uvicorn  # noqa: PLC0415  the help does not need it

    from mlapi.api.listening import EVERYWHERE, bind_everywhere  # noqa: PLC0415  as above
    from mlapi.observability.logs import configure_logging  # noqa: PLC0415  as above
    from mlapi.observability.metrics import RolloutMetrics  # noqa: PLC0415  as above
    from mlapi.rollout.gate_app import create_gate_app  # noqa: PLC0415  as above
    from mlapi.rollout.version import VersionError  # noqa: PLC0415  as above

    configure_logging("info")
    plan = _plan(**options)

    def make_plan() -> "Plan":
        if str(options["key_file"]) == "-":
            return plan  # standard input can be read but once
        try:
            return _plan(**options)
        except click.UsageError as error:
            msg = f"a file of the command line cannot be read any more: {error}"
            raise VersionError(msg) from error

    app = create_gate_app(make_plan, RolloutMetrics())
    server = uvicorn.Server(
        uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, server_header=False)
    )
    try:
        listener = bind_everywhere(port, dual_stack=socket.has_dualstack_ipv6()) if host == EVERYWHERE else None
    except OSError as error:
        msg = f"port {port}: {error.strerror}"
        raise click.ClickException(msg) from error
    server.run(None if listener is None else [listener])


def _plan(
    *,
    old: str,
    new: str,
    key_file: Path | None,
    texts: Sequence[Path],
    texts_per_second: float,
    seconds: float,
    limit: int,
    asks: int,
    expected: str,
    **bounds: Any,  # noqa: ANN401  click's own values
) -> "Plan":
    from mlapi.rollout.comparison import Bounds  # noqa: PLC0415  the help does not need it
    from mlapi.rollout.gate import Plan  # noqa: PLC0415  as above
    from mlapi.rollout.pace import Pace  # noqa: PLC0415  as above
    from mlapi.rollout.version import Place  # noqa: PLC0415  as above

    key = "" if key_file is None else read_given_key(key_file)
    try:
        places = Place.read(old, key), Place.read(new, key)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if places[0] == places[1]:
        msg = "--from and --to are the same place: a version would be compared with itself"
        raise click.UsageError(msg)
    pace = Pace(texts_per_second, seconds, time.monotonic, time.sleep, _say)
    return Plan(*places, pace, Bounds(**bounds), limit=limit, asks=asks, given=_read(texts), expected=expected.lower())


def _read(files: Sequence[Path]) -> list[str]:
    """Return the lines of files that are not empty, each once."""
    found: dict[str, None] = {}
    for path in files:
        try:
            with click.open_file(str(path), encoding="utf-8") as file:
                found |= dict.fromkeys(line.rstrip("\r\n") for line in file if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{path}: {error}"
            raise click.UsageError(msg) from error
    return list(found)


def _measure(run: "Callable[[], Warmed | Compared]") -> "Warmed | Compared":
    from mlapi.rollout.version import VersionError  # noqa: PLC0415  the help does not need it

    try:
        return run()
    except VersionError as error:
        _say(str(error))
        sys.exit(EXIT_UNMEASURED)


def _finish(result: "Warmed | Compared", metrics_file: Path | None, *, as_json: bool) -> None:
    from mlapi.rollout.gate import report  # noqa: PLC0415  the help does not need it

    document = report(result)
    if metrics_file is not None:
        _write_metrics(result, metrics_file)
    if as_json:
        click.echo(msgspec.json.encode(document).decode())
    else:
        for name, value in _rows(document):
            click.echo(f"{name:<32}{value}")
    if result.reason:
        _say(result.reason)
    sys.exit(_EXITS[result.verdict])


def _write_metrics(result: "Warmed | Compared", file: Path) -> None:
    from prometheus_client import generate_latest  # noqa: PLC0415  the help does not need it

    from mlapi.observability.metrics import RolloutMetrics  # noqa: PLC0415  as above
    from mlapi.rollout.gate_app import note  # noqa: PLC0415  as above

    metrics = RolloutMetrics()
    note(metrics, result)
    metrics.verdicts.labels(result.verdict).inc()
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.write_bytes(generate_latest(metrics.registry))
        draft.replace(file)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        msg = f"{file}: {error.strerror}"
        raise click.UsageError(msg) from error


def _rows(document: dict[str, Any], prefix: str = "") -> "list[tuple[str, str]]":
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{name} ")
        elif isinstance(value, float):
            rows.append((prefix + name, f"{value:.4f}"))
        elif isinstance(value, tuple | list):
            rows.append((prefix + name, ", ".join(map(str, value)) or "-"))
        elif value not in {None, ""}:
            rows.append((prefix + name, str(value)))
    return rows


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)
