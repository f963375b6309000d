"""`mlapi learn tick|request|status`: the learning loop."""

import json
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import click

from mlapi.cli.opened_store import explained
from mlapi.observability.logs import configure_logging
from mlapi.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlapi.feedback.runs import Run, Runs
    from mlapi.loop.plan import Plan
    from mlapi.loop.tick import Loop

_MS: Final = 1000
EXIT_STEP_FAILED: Final = 1


@click.command()
@click.option("--model", help="Only this model of the file.")
def tick(model: str | None) -> None:
    """Take one turn of the learning loop, as MLAPI_LEARN_FILE says.

    Asks for the runs that are due, and takes the run of each model as far as it goes: texts, training, comparison,
    gate, proposal, promotion. Killed anywhere, the next turn goes on from there; of two at the same time, one works on
    a run and the other leaves it alone.

    \b
    Exit codes: 0 all that was attempted succeeded, or there was nothing to do; 1 a step did not, and is attempted again
    by the next turn, or the run has failed; 2 and 4 as for all commands. A model that the gate refuses is no failure.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    with _opened_loop() as (loop, plan):
        names = list(plan.models)
        if model is not None:
            _check(model, plan)
            names = [model]
        well = loop.turn(names)
    sys.exit(0 if well else EXIT_STEP_FAILED)


@click.command()
@click.option("--model", required=True, help="The name that the model is served under.")
@click.option("--reason", default="asked for by hand", show_default=True, help="Why, in words.")
@click.option("--key", default="", help="Asking again with the same key asks for nothing new.  [default: a new one]")
def request(model: str, reason: str, key: str) -> None:
    """Ask for a run; the next turn begins it. Prints its id."""
    from mlapi.feedback.runs import Trigger, run_id  # noqa: PLC0415  the help needs none of it

    with _opened_runs() as (runs, plan):
        _check(model, plan)
        trigger = Trigger(f"manual/{model}/{key or uuid4().hex}", model, reason)
        runs.request([trigger], _now())
    click.echo(run_id(trigger.key))


@click.command()
@click.argument("run", default="")
@click.option("--model", default="", help="Only runs of this model.")
@click.option("--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(run: str, model: str, count: int, *, as_json: bool) -> None:
    """Print the latest runs, the newest first; or one RUN with its steps, by the beginning of its id.

    A run that has been in one state for longer than `stuck_s` of the file is called stuck.
    """
    with _opened_runs() as (runs, plan):
        found = runs.find(run) if run else runs.latest(model, count)
        if run and len(found) != 1:
            msg = f"{len(found)} runs have an id that begins with {run!r}"
            raise click.UsageError(msg)
        rows = [_row(one, plan, _now()) for one in found]
        steps = [(step, before) for step, before in _with_before(runs, found[0])] if run else []
    if as_json:
        told = [{"state": step.state, "note": step.note, "time_ms": step.time_ms} for step, _ in steps]
        click.echo(json.dumps([row | {"steps": told} for row in rows] if run else rows, indent=2))
        return
    if not run:
        click.echo(f"{'run':16}  {'model':12} {'state':12} {'since':20} {'candidate':12}  reason")
        for row in rows:
            state = row["state"] + (" (stuck)" if row["stuck"] else "")
            candidate = row.get("candidate", "")[:12]
            click.echo(
                f"{row['id']}  {row['model']:12} {state:12} {_time(row['changed_ms'])} {candidate:12}  {row['reason']}"
            )
        return
    for name, value in rows[0].items():
        click.echo(f"{name:12} {_time(value) if name.endswith('_ms') else value}")
    for step, before in steps:
        click.echo(f"{_time(step.time_ms)} +{(step.time_ms - before) / _MS:7.2f} s  {step.state.value:12} {step.note}")


COMMANDS: Final = (tick, request, status)


def _with_before(runs: "Runs", run: "Run") -> "Iterator[tuple[Any, int]]":
    """Yield the steps of a run, each with the time of the one before."""
    before = run.created_ms
    for step in runs.steps(run.id):
        yield step, before
        before = step.time_ms


def _row(run: "Run", plan: "Plan", now: int) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415  the help does not need it

    stuck = not run.ended and now - run.changed_ms > plan.stuck_s * _MS
    return {
        "id": run.id,
        "key": run.key,
        "model": run.model,
        "state": run.state.value,
        "reason": run.reason,
        "attempts": run.attempts,
        "stuck": stuck,
        "created_ms": run.created_ms,
        "changed_ms": run.changed_ms,
        **msgspec.to_builtins(run.facts),
    }


@contextmanager
def _opened_runs() -> "Iterator[tuple[Runs, Plan]]":
    from mlapi.feedback_app import open_runs, require_store  # noqa: PLC0415  the help needs none of it
    from mlapi.loop.plan import read_plan  # noqa: PLC0415  likewise

    with explained():
        settings = read_settings()
        plan = read_plan(_file(settings.learn_file))
        runs, database = open_runs(settings, require_store(settings), plan)
        try:
            yield runs, plan
        finally:
            database.close()


@contextmanager
def _opened_loop() -> "Iterator[tuple[Loop, Plan]]":
    from mlapi.feedback_app import open_loop, require_store  # noqa: PLC0415  the help needs none of it
    from mlapi.loop.plan import read_plan  # noqa: PLC0415  likewise

    with explained():
        settings = read_settings()
        configure_logging(settings.log_level)
        plan = read_plan(_file(settings.learn_file))
        with open_loop(settings, require_store(settings), plan) as loop:
            yield loop, plan


def _file(name: str) -> Path:
    if not name:
        msg = "MLAPI_LEARN_FILE must name the file that says how the loop works"
        raise click.UsageError(msg)
    return Path(name)


def _check(model: str, plan: "Plan") -> None:
    if model not in plan.models:
        msg = f"the file has no model {model}; it has {', '.join(plan.models)}"
        raise click.UsageError(msg)


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / _MS, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _now() -> int:
    return int(time.time() * _MS)
