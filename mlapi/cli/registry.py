"""`mlapi learn register|promote|reject|rollback|lineage`: the registry of models."""

import hashlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mlapi.cli.opened_store import opened_registry

if TYPE_CHECKING:
    from mlapi.feedback.registry import Ancestor

_MS: Final = 1000
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_BEGINNING: Final = re.compile(r"[0-9a-f]{6,64}")


class _Digest(click.ParamType[str]):
    """A digest of a bundle, whole."""

    name = "digest"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take 64 hexadecimal digits."""
        if not _DIGEST.fullmatch(value.lower()):
            self.fail(f"{value!r} is not a digest: 64 hexadecimal digits", param, ctx)
        return value.lower()


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_REASON: Final = click.option("--reason", required=True, help="Why, in words; kept for ever.")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--model", default="project", show_default=True, help="The name that it is to be served under.")
@click.option("--dataset", type=_FILE, help="The file that it was trained on, such as `export` writes.")
@click.option("--report", type=_FILE, help="The report that judged it.")
@click.option("--commit", default="", help="Of the code that trained it.")
@click.option("--run", default="", help="Of the training, as whatever tracked it calls it.")
@click.option("--parent", type=_Digest(), default=None, help="Digest of the bundle that it is to replace.")
def register(
    bundle: Path, *, model: str, dataset: Path | None, report: Path | None, commit: str, run: str, parent: str | None
) -> None:
    """Add BUNDLE, a verified model, to the registry, with what it was made of; print its digest.

    The same again is nothing new. The same bundle with other facts is refused: exit code 1.
    """
    from mlapi.bundles.store import open_bundle  # noqa: PLC0415  the help does not need it
    from mlapi.feedback.registry import Registered  # noqa: PLC0415  likewise

    with opened_registry() as registry:
        facts = Registered(
            digest=open_bundle(bundle).manifest.digest,
            model=model,
            dataset=_sha256(dataset),
            commit=commit,
            run=run,
            parent=parent or "",
            report=_sha256(report),
        )
        registry.register(facts, _now())
    click.echo(facts.digest)


@click.command()
@click.argument("digest", type=_Digest())
@click.option("--expected", type=_Digest(), default=None, help="The champion that it replaces; none if there is none.")
@_REASON
def promote(digest: str, expected: str | None, reason: str) -> None:
    """Make the model with this DIGEST the champion, if the champion is the expected one.

    What was rejected or rolled back once is never promoted. Nothing is deployed: the champion is what whoever deploys
    reads.

    \b
    Exit codes: 0 it is the champion, 1 it is not registered or banned, 3 another one is the champion; 2 and 4 as for
    all commands.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    with opened_registry() as registry:
        registry.promote(digest, expected or "", reason, _now())
    click.echo(f"champion {digest}")


@click.command()
@click.argument("digest", type=_Digest())
@_REASON
def reject(digest: str, reason: str) -> None:
    """Note that the model with this DIGEST is not good enough: it never becomes champion."""
    with opened_registry() as registry:
        registry.reject(digest, reason, _now())
    click.echo(f"rejected {digest}")


@click.command()
@click.argument("digest", type=_Digest())
@_REASON
def rollback(digest: str, reason: str) -> None:
    """Make the champion before the model with this DIGEST the champion again, and never take this one back.

    Exit code 3: another one is the champion already.
    """
    with opened_registry() as registry:
        champion = registry.roll_back(digest, reason, _now())
    click.echo(f"champion {champion}")


@click.command()
@click.argument("digest")
def lineage(digest: str) -> None:
    """Print what the model whose DIGEST begins so was made of, what was decided about it, and its parents."""
    if not _BEGINNING.fullmatch(digest.lower()):
        msg = f"{digest!r} is not the beginning of a digest: 6 hexadecimal digits or more"
        raise click.UsageError(msg)
    with opened_registry() as registry:
        for ancestor in registry.lineage(digest.lower()):
            click.echo(_in_words(ancestor))


COMMANDS: Final = (register, promote, reject, rollback, lineage)


def _in_words(ancestor: "Ancestor") -> str:
    facts, dataset = ancestor.facts, ancestor.dataset
    data = facts.dataset or "unknown"
    if dataset is not None:
        data += f", {dataset.texts} texts by the opinions up to event {dataset.events}"
    lines = [
        f"model     {facts.digest}" + (" (champion)" if ancestor.champion else ""),
        f"  name    {facts.model}",
        f"  data    {data}",
        f"  commit  {facts.commit or 'unknown'}",
        f"  run     {facts.run or 'unknown'}",
        f"  report  {facts.report or 'unknown'}",
        f"  parent  {facts.parent or 'none'}",
    ]
    for decided in ancestor.decisions:
        when = datetime.fromtimestamp(decided.time_ms / _MS, UTC).isoformat(timespec="seconds")
        lines.append(f"  {when} {decided.decision.replace('_', ' ')}: {decided.reason}")
    return "\n".join(lines)


def _sha256(file: Path | None) -> str:
    return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def _now() -> int:
    return int(time.time() * _MS)
