"""Runs the benchmark: `python -m benchmarks.run --profile short|full|smoke [--rows …] [--peers …]`."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from benchmarks import chart, environments, limits, model, report, results
from benchmarks.catalogue import PEERS, Peer
from benchmarks.machine import look
from benchmarks.results import Failure, Record
from benchmarks.rows import ROWS
from benchmarks.session import Cast, Player, Session, choose_rows
from benchmarks.workloads import Effort
from tools.private_redis import PrivateRedis

_WORKSPACE: Final = Path(".tools/bench")
_SHORT: Final = ("naive", "mlapi")
_EFFORTS: Final = {
    "short": Effort(seconds=3.0, lone=40, blocks=4, slow_blocks=1),
    "full": Effort(seconds=8.0, lone=100, blocks=8, slow_blocks=1),
    "smoke": Effort(seconds=0.3, lone=2, blocks=0.1, slow_blocks=0.1, known=50, foreground=5, bulk=50),
}
_ROUNDS: Final = {"short": 2, "full": 3, "smoke": 1}
_NEEDED: Final = 2


def _names(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str | None], list[str]]:
    """Return a reader of comma-separated names."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
        del context, parameter
        names = [name for name in (value or "").split(",") if name]
        unknown = sorted(set(names) - set(known))
        if unknown:
            msg = f"{', '.join(unknown)}: not among {', '.join(known)}"
            raise click.BadParameter(msg)
        return names

    return read


def _say(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


def _bind(processors: Sequence[int]) -> None:
    os.sched_setaffinity(0, processors)


@click.command()
@click.option("--profile", type=click.Choice(list(_EFFORTS)), default="short", show_default=True)
@click.option("--rows", callback=_names(list(ROWS)), help="Only these rows, comma-separated.")
@click.option("--peers", callback=_names(list(PEERS)), help="Only these peers, comma-separated.")
@click.option("--rounds", type=click.IntRange(1), help="How often everything is repeated; default: 2, 3, 1.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Of each row that is bound by time.")
@click.option("--workspace", type=click.Path(path_type=Path), default=_WORKSPACE, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the results; default: in the workspace.")
def main(
    profile: str,
    rows: list[str],
    peers: list[str],
    *,
    rounds: int | None,
    seconds: float | None,
    workspace: Path,
    output: Path | None,
) -> None:
    """Compare mlapi with other services on two processors of this machine.

    `short` compares with the naive service, `full` with all; `smoke` shows whether everything works, as fast as it can,
    and its figures mean nothing.

    Writes results.json, results.md and results.svg; ends with 1 if they lack a peer or a row, or if requests
    failed, and says which.
    The first run installs the peers and makes the model.
    """
    available = sorted(os.sched_getaffinity(0))
    if len(available) < _NEEDED:
        msg = "the benchmark needs two processors"
        raise click.ClickException(msg)
    chosen = {name: PEERS[name] for name in peers or (_SHORT if profile == "short" else list(PEERS))}
    record = _new_record(profile, chosen)
    _say("the model")
    made = model.prepare(workspace.resolve() / "model")
    ready = _install(chosen, workspace.resolve(), made, record)
    cast = Cast(ready, server_processor=available[0], load_processor=available[1])
    with ExitStack() as stack:
        # Redis is on the load's processor, always: it inherits that from us.
        _bind((cast.load_processor,))
        databases = {peer.name: stack.enter_context(PrivateRedis()).url for peer in chosen.values()}
        record.limits |= limits.redis_rate(stack.enter_context(PrivateRedis()).url)
        _bind(available)
        distance = model.bf16_distance(made) if any(peer.precision == "bf16" for peer in chosen.values()) else 0.0
        record.limits["bf16_distance"] = distance
        session = Session(
            cast=cast,
            rows=choose_rows(rows, full=profile != "short"),
            effort=replace(_EFFORTS[profile], seconds=seconds or _EFFORTS[profile].seconds),
            model=made,
            redis_url=lambda peer: databases.get(peer.name, ""),
            scratch=workspace / "scratch" / time.strftime("%Y%m%d-%H%M%S"),
            record=record,
            bf16_distance=distance,
            bind=_bind,
            say=_say,
            sleep=time.sleep,
        )
        try:
            session.run(rounds or _ROUNDS[profile])
        finally:
            _bind(available)
            _publish(record, output or workspace / "results" / profile)
    check_whole(record)


def _new_record(profile: str, chosen: dict[str, Peer]) -> Record:
    return Record(
        profile=profile,
        started=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        machine=look(_NEEDED).describe(),
        peers={name: peer.title for name, peer in chosen.items()},
        model=model.TITLE,
    )


def _install(chosen: dict[str, Peer], workspace: Path, made: model.Model, record: Record) -> list[Player]:
    """Install the peers; those that cannot be are recorded with the reason."""
    ready = []
    for name, peer in chosen.items():
        try:
            programs = environments.ensure(peer, workspace / "venvs", _say)
            if peer.precision:
                _say(f"the bundle in {peer.precision}, if it is not there yet (a minute)")
                read = made.bundle(peer.precision)
            else:
                read = environments.convert(peer, programs, made.checkpoint, made.folder, _say)
            ready.append(Player(peer, programs, read))
            _say(f"reading the files of {name}, so that its start does not wait for the disk")
            for folder in (programs.parent, read):
                environments.read_ahead(folder)
        except (environments.InstallError, model.ModelError) as error:
            _say(f"{name} cannot be installed: {error}")
            record.failures.append(Failure(name, "", f"cannot be installed: {error}"))
            continue
        record.versions[name] = environments.versions(peer, programs)
    return ready


def check_whole(record: Record) -> None:
    """Say if something is missing from a record.

    Raises:
        click.ClickException: a peer, or one of its rows, gave nothing, or some of its requests failed.
    """
    missing = sorted({f"{item.peer}, {item.row}" if item.row else item.peer for item in record.failures})
    silent = sorted(set(record.peers) - {item.peer for item in record.observations} - set(missing))
    partial = sorted({f"{item.peer}, {item.row}" for item in record.observations if item.measures.get("failed")})
    if missing or silent or partial:
        said = {"not measured": [*missing, *silent], "with requests that failed": partial}
        raise click.ClickException("; ".join(f"{what}: {'; '.join(names)}" for what, names in said.items() if names))


def _publish(record: Record, folder: Path) -> None:
    results.write(record, folder / "results.json")
    table = results.Table(record)
    (folder / "results.md").write_text(report.render(table), encoding="utf-8")
    (folder / "results.svg").write_text(chart.render(table), encoding="utf-8")
    click.echo((folder / "results.md").read_text(encoding="utf-8"))
    _say(f"written to {folder}")


if __name__ == "__main__":
    sys.exit(main())
