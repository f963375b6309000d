"""Makes a bundle: pull, describe, convert, quantise, compare with the reference, then write it or refuse."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from mlapi.batching.buckets import padded_length
from mlapi.bundles.manifest import SCHEMA, Evaluation, FileEntry, Manifest, Provenance
from mlapi.bundles.store import Bundle, write_bundle
from mlapi.engines.registry import load_engine
from mlapi.engines.tokenizer import FILE as TOKENIZER
from mlapi.engines.tokenizer import HfTokenizer
from mlapi.engines.torch import load_model
from mlapi.errors import BundleError, ConfigurationError
from mlapi.pipeline import parity
from mlapi.pipeline.describe import Description, describe
from mlapi.pipeline.export import export
from mlapi.pipeline.pull import CONFIG, WEIGHTS, Checkpoint, pull
from mlapi.pipeline.quantise import store

Engine: TypeAlias = Literal["openvino", "torch"]
Precision: TypeAlias = Literal["int8", "bf16", "fp32"]

_TOOLS: Final[Mapping[Engine, Sequence[str]]] = {
    "openvino": ("nncf", "openvino", "torch", "transformers"),
    "torch": ("torch", "transformers"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What to build.

    Attributes:
        source: a folder with a checkpoint, or the id of a model on a hub.
        output: the bundle's folder; must not exist yet.
        revision: the hub's commit.
        sha256: what the SHA-256 of the checkpoint's weights must be; None accepts any.
        name: the bundle's name; None for the last part of the source.
        engine: the engine that the bundle is for.
        precision: number format of its weights.
        evaluate: labelled texts to measure it on.
        dataset: what people call those texts; None for the file's name.
        unevaluated: whether a precision that changes the scores may go without.
        licence: SPDX identifier of the weights' licence.
        threads: processor threads to evaluate with.

    Raises:
        ConfigurationError: a combination that makes no sense.
    """

    source: str
    output: Path
    revision: str | None = None
    sha256: str | None = None
    name: str | None = None
    engine: Engine = "openvino"
    precision: Precision = "int8"
    evaluate: Path | None = None
    dataset: str | None = None
    unevaluated: bool = False
    licence: str = "unknown"
    threads: int = 1

    def __post_init__(self) -> None:
        """Check what can be checked before anything is downloaded."""
        if self.engine == "torch" and self.precision == "int8":
            msg = "the engine torch takes the precisions fp32 and bf16"
            raise ConfigurationError(msg)
        if self.evaluate is None and self.precision != "fp32" and not self.unevaluated:
            msg = f"{self.precision} changes the scores: measure it with --evaluate, or say --no-evaluation"
            raise ConfigurationError(msg)


def build(order: Order, say: Callable[[str], None]) -> Bundle:
    """Make a bundle; nothing is written unless it passes.

    Args:
        order: what to build.
        say: told what is being done.

    Raises:
        BundleError: no usable checkpoint, or the bundle is not good enough; the message says why.
    """
    if order.output.exists():
        msg = f"{order.output} exists already; choose another folder or remove it first"
        raise BundleError(msg)
    checkpoint = pull(order.source, revision=order.revision, sha256=order.sha256, say=say)
    description = describe(checkpoint.folder)
    data = None
    if order.evaluate is not None:
        data = parity.read_labelled(order.evaluate, description.labels, order.dataset or order.evaluate.name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reference = _draft_reference(order, checkpoint, description, folder)
        say(f"making the bundle for {order.engine}, {order.precision}")
        candidate = _draft_candidate(order, reference, folder)
        evaluation = _judge(candidate, reference, data, order.threads, say)
        files = {name: candidate.file(name) for name in candidate.manifest.files}
        return write_bundle(order.output, files, partial(_complete, candidate.manifest, order, evaluation))


def _draft_reference(order: Order, checkpoint: Checkpoint, description: Description, folder: Path) -> Bundle:
    """Make the checkpoint itself a bundle, for the reference engine."""
    tokenizer = folder / TOKENIZER
    tokenizer.write_text(description.tokenizer, encoding="utf-8")

    def manifest(entries: Mapping[str, FileEntry]) -> Manifest:
        return Manifest(
            schema=SCHEMA,
            name=order.name or checkpoint.source.rpartition("/")[2],
            labels=description.labels,
            activation=description.activation,
            max_tokens=description.max_tokens,
            pad_id=description.pad_id,
            engine="torch",
            precision="fp32",
            files=dict(entries),
            provenance=Provenance(
                source=checkpoint.source,
                revision=checkpoint.revision,
                licence=order.licence,
                built_with={tool: version(tool) for tool in _TOOLS[order.engine]},
            ),
        )

    weights = {name: checkpoint.folder / name for name in (CONFIG, WEIGHTS)}
    return write_bundle(folder / "reference", {**weights, TOKENIZER: tokenizer}, manifest)


def _draft_candidate(order: Order, reference: Bundle, folder: Path) -> Bundle:
    """Make the reference's bundle one for the ordered engine and precision."""
    manifest = reference.manifest
    files = {name: reference.file(name) for name in manifest.files}
    if order.engine == "openvino":
        model = load_model(files[CONFIG], files[WEIGHTS])
        graph = export(model, max_tokens=manifest.longest, pad_id=manifest.pad_id)
        files = {**store(graph, order.precision, folder), TOKENIZER: files[TOKENIZER]}
    return write_bundle(folder / "candidate", files, partial(_complete, manifest, order, None))


def _complete(
    manifest: Manifest, order: Order, evaluation: Evaluation | None, entries: Mapping[str, FileEntry]
) -> Manifest:
    return msgspec.structs.replace(
        manifest, engine=order.engine, precision=order.precision, files=dict(entries), evaluation=evaluation
    )


def _judge(
    candidate: Bundle, reference: Bundle, data: parity.LabelledTexts | None, threads: int, say: Callable[[str], None]
) -> Evaluation | None:
    """Measure the candidate; None without labelled texts.

    Raises:
        BundleError: its scores depend on the batch though its engine says they do not, it is less accurate than the
            reference or disagrees with it too often, or this machine cannot run it in its precision.
    """
    manifest = candidate.manifest
    tokenizer = HfTokenizer.load(candidate.file(TOKENIZER), manifest.max_tokens)
    with closing(load_engine(manifest.engine, candidate, threads)) as engine:
        runner = parity.Runner(
            engine, manifest.pad_id, manifest.activation, partial(padded_length, max_tokens=manifest.max_tokens)
        )
        encoded = tokenizer.encode(data.texts) if data else parity.made_up_texts(tokenizer, manifest.longest)
        problems = []
        if engine.batch_invariant:
            say(f"comparing the scores of {len(encoded)} texts alone and in batches")
            moved = parity.moved_by_batching(runner, encoded)
            if moved:
                problems.append(f"the scores of {moved} of {len(encoded)} texts depend on the other texts of a batch")
        evaluation = None
        if data and engine.identity.precision != manifest.precision:
            msg = f"{manifest.engine} computes in {engine.identity.precision} here: {manifest.precision} needs a GPU"
            raise BundleError(msg)
        if data:
            say(f"comparing the scores of {len(encoded)} texts with the reference's")
            with closing(load_engine("torch", reference, threads)) as expected:
                unpadded = parity.Runner(expected, manifest.pad_id, manifest.activation, lambda tokens: tokens)
                evaluation = parity.compare(runner, unpadded, data, encoded)
            problems += parity.shortfalls(evaluation)
    if problems:
        msg = f"{manifest.name} is not good enough to publish: {'; '.join(problems)}"
        raise BundleError(msg)
    return evaluation
