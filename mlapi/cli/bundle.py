"""`mlapi bundle`: makes model bundles, shows them and verifies them."""

import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Final

import click
import msgspec

from mlapi.bundles.manifest import CachePolicy, Evaluation, Manifest
from mlapi.bundles.store import read_manifest, verify_file
from mlapi.engines.arithmetic import STATIC_GRAPH, choose, streams
from mlapi.engines.telemetry import decline
from mlapi.errors import BundleError, ConfigurationError, EngineError
from mlapi.machine.cpus import usable_processors
from mlapi.machine.instruction_set import instruction_set
from mlapi.settings import DEFAULT_BUNDLE

_FOLDER = click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_BUNDLE)

_CACHE: Final[Mapping[CachePolicy, str]] = {"both": "in-process and shared", "l1": "in-process", "none": "none"}


@click.group()
def bundle() -> None:
    """Make model bundles, show them, verify them."""


@bundle.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="The manifest and its digest, for machines.")
def inspect(folder: Path, *, as_json: bool) -> None:
    """Show what a bundle says of itself (default: the bundle that ships with the source)."""
    manifest = _manifest(folder)
    if as_json:
        described = {"digest": manifest.digest, **msgspec.to_builtins(manifest)}
        click.echo(msgspec.json.format(msgspec.json.encode(described), indent=2))
    else:
        click.echo(_table(manifest))


@bundle.command()
@_FOLDER
def verify(folder: Path) -> None:
    """Compare each file of a bundle with its manifest (default: the bundle that ships with the source).

    \b
    Exit codes: 0 all files are as they should be, 1 they are not.
    """  # noqa: D301  \b is what keeps click from refilling the paragraph
    manifest = _manifest(folder)
    wrong = 0
    for name, entry in manifest.files.items():
        try:
            verify_file(folder, name, entry)
        except BundleError as error:
            wrong += 1
            click.echo(f"wrong  {name}: {error.detail}")
        else:
            click.echo(f"ok     {name}")
    if wrong:
        click.echo(f"mlapi: {wrong} of {len(manifest.files)} files are wrong", err=True)
        sys.exit(1)


@bundle.command()
@_FOLDER
@click.option("--threads", type=click.IntRange(1), help="For computing; default: the processors it may use.")
def scan(folder: Path, threads: int | None) -> None:
    """Compute every shape of batch on this machine, and compare each text's bits with those it has alone.

    A start of the service checks some of these shapes, other ones each time; this checks all (seconds to minutes).

    \b
    Exit codes: 0 all bits are equal, or texts are computed one by one here; 1 they are not, or it cannot be computed.
    """  # noqa: D301  as above
    # Not at the top: they take a second, and the other commands need none of them.
    from mlapi.batching.buckets import bucket_lengths  # noqa: PLC0415
    from mlapi.bundles.store import open_bundle  # noqa: PLC0415
    from mlapi.engines import invariance  # noqa: PLC0415
    from mlapi.engines.registry import load_engine  # noqa: PLC0415

    try:
        opened = open_bundle(folder)
        engine = load_engine(opened.manifest.engine, opened, threads or usable_processors())
    except (BundleError, ConfigurationError) as error:
        raise click.ClickException(error.detail) from error
    lengths = bucket_lengths(opened.manifest.max_tokens or engine.batch_tokens)
    checked, wrong = 0, 0
    for (rows, length), equal in invariance.scan(engine, lengths, opened.manifest.pad_id):
        checked += 1
        if not equal:
            wrong += 1
            click.echo(f"differs  {rows} texts of {length} padded tokens")
    engine.close()
    computes = f"{engine.identity.arithmetic} on {engine.identity.instruction_set}"
    if not checked:
        click.echo(f"texts are computed one by one here, in {computes}: there is nothing to compare")
        return
    click.echo(f"{checked - wrong} of {checked} shapes of batches keep every bit, in {computes}")
    if wrong:
        sys.exit(1)


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--texts",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, a line each; what follows a tab, such as a label, is left out. Several files are taken together.",
)
@click.option("--threads", type=click.IntRange(1), help="For computing; default: the processors it may use.")
def refer(folder: Path, files: tuple[Path, ...], threads: int | None) -> None:
    """Note in a bundle how its answers to these texts are distributed: what the alert on drift compares answers with.

    The bundle stays the same otherwise: no digest changes, and so no entry of a cache. Texts like those that callers
    send make the best reference; the shipped bundles have the texts that they were evaluated with.
    """
    # Not at the top: they take a second, and the other commands need none of them.
    from mlapi.bundling.calibration import read_texts  # noqa: PLC0415
    from mlapi.bundling.reference import refer as note  # noqa: PLC0415

    try:
        texts = list(chain.from_iterable(read_texts(path)[0] for path in files))
        noted = note(folder, texts, threads or usable_processors())
    except (BundleError, ConfigurationError, EngineError) as error:
        raise click.ClickException(error.detail) from error
    click.echo(f"{folder}: {_shares(noted)} of {len(texts)} texts")


@bundle.command()
@click.option("--source", required=True, help="A folder with a checkpoint, or the id of a model on the hub.")
@click.option("--revision", help="The hub's commit, 40 hex digits; required for a hub.")
@click.option(
    "--sha256",
    help="What the SHA-256 of the checkpoint's model.safetensors must be, or of what sha256sum prints for its parts.",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The bundle's folder; must not exist.")
@click.option("--name", help="The bundle's name; default: the last part of the source.")
@click.option("--engine", type=click.Choice(["openvino", "torch"]), default="openvino", show_default=True)
@click.option("--precision", type=click.Choice(["int8", "bf16", "fp32"]), help="Default: int8; fp32 for torch.")
@click.option(
    "--evaluate",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labelled texts, a line each: text, tab, label (a name or its index). Several files are measured one by one.",
)
@click.option("--dataset", multiple=True, help="What people call the texts of each file; default: the file's name.")
@click.option(
    "--labels-are",
    type=click.Choice(["names", "indices"]),
    help="How labels are written in those files; default: whichever is the only way to read a file.",
)
@click.option(
    "--calibrate",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts, a line each, none of them evaluated: fixes scales for AMX; several files are taken together.",
)
@click.option("--no-evaluation", "unevaluated", is_flag=True, help="Go without, in a precision that changes scores.")
@click.option(
    "--licence",
    default="unknown",
    show_default=True,
    help="SPDX identifier of the weights' licence, or an expression of several.",
)
@click.option(
    "--memory-bytes",
    type=click.IntRange(1),
    help="What a process needs to serve it at most, beside what every process needs; compared with the memory limit at "
    "a start. Measure it once it is made: python -m benchmarks.memory_need.",
)
def build(precision: str | None, engine: str, **options: object) -> None:
    """Make a bundle from a Hugging Face sequence classification checkpoint.

    Nothing is written unless the bundle is as good as the checkpoint: on each file of labelled texts at most 0.5 points
    less accurate, with the same label for at least 99 % of them, and with scores that do not depend on the batch.

    \b
    Exit codes: 0 it is made, 1 it is not and the last line says why, 2 wrong usage.
    """  # noqa: D301  as above
    # Not at the top: the pipeline needs PyTorch, and the other commands must run without it.
    decline()
    chosen = precision or ("fp32" if engine == "torch" else "int8")
    fields = {"engine": engine, "precision": chosen, "threads": usable_processors(), **options}
    try:
        from mlapi.bundling.build import Order  # noqa: PLC0415
        from mlapi.bundling.build import build as make  # noqa: PLC0415

        try:
            order = msgspec.convert(fields, Order)
        except ConfigurationError as error:
            raise click.UsageError(error.detail) from error
        made = make(order, _say)
    except ModuleNotFoundError as error:
        msg = f"making bundles needs the package {error.name}: pip install 'mlapi[pipeline]'"
        raise click.ClickException(msg) from error
    except ConfigurationError as error:
        raise click.ClickException(error.detail) from error
    click.echo(_table(made.manifest))


def _manifest(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except BundleError as error:
        raise click.ClickException(error.detail) from error


def _table(manifest: Manifest) -> str:
    provenance = manifest.provenance
    rows = [
        ("name", manifest.name),
        ("digest", manifest.digest),
        ("labels", f"{', '.join(manifest.labels)} ({manifest.activation})"),
        ("reads", f"up to {manifest.max_tokens} tokens" if manifest.max_tokens else "texts of every length"),
        ("engine", f"{manifest.engine}, {manifest.precision}"),
        ("cache", _CACHE[manifest.cache]),
        *([("memory", f"{manifest.memory_bytes / 1e6:.0f} MB")] if manifest.memory_bytes else []),
        *_here(manifest),
        *(("file", f"{name}, {entry.bytes / 1e6:.2f} MB") for name, entry in sorted(manifest.files.items())),
        ("made from", f"{provenance.source} at {provenance.revision}"),
        ("licence", provenance.licence),
        ("made with", ", ".join(f"{tool} {version}" for tool, version in sorted(provenance.built_with.items()))),
        *(("calibration", f"{each.texts} texts of {each.file}") for each in provenance.calibration),
        *(("parameter", f"{name} = {value}") for name, value in sorted(provenance.parameters.items())),
        *chain.from_iterable(map(_evaluation, manifest.evaluations)),
        *([] if manifest.evaluations else [("evaluation", "none")]),
        *([("answers", f"{_shares(manifest)} of the texts that drift is measured against")] * bool(manifest.reference)),
    ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _shares(manifest: Manifest) -> str:
    return ", ".join(f"{label} {share:.4f}" for label, share in manifest.reference.items())


def _here(manifest: Manifest) -> list[tuple[str, str]]:
    """Say how this machine would compute, and why."""
    if manifest.engine != "openvino":
        return []
    chosen = choose(manifest.precision, instruction_set(), static=STATIC_GRAPH in manifest.files)
    threads = usable_processors()
    side_by_side = streams(chosen, threads)
    shape = f"{side_by_side} x {threads // side_by_side} threads"
    return [("computes", f"in {chosen.name} here, {shape}: {chosen.reason}")]


def _evaluation(evaluation: Evaluation) -> list[tuple[str, str]]:
    difference = evaluation.score_difference
    rows = [("evaluation", f"{evaluation.dataset}, {evaluation.texts} texts, against the reference")]
    if evaluation.file is not None:
        rows += [
            ("from", f"{evaluation.file}, sha256 {evaluation.sha256}"),
            ("of them", f"{evaluation.repeated} repeated, {evaluation.truncated} longer than the model reads"),
        ]
    return [
        *rows,
        ("accuracy", f"{evaluation.accuracy:.4f} (reference {evaluation.reference_accuracy:.4f})"),
        ("agreement", f"{100 * evaluation.agreement:.2f} % of the labels"),
        (
            "scores",
            f"apart by {difference.median:.4f} (median), {difference.p99:.4f} (p99), {difference.max:.4f} (max)",
        ),
    ]


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)
