"""Makes a bundle: pull, describe, convert, quantise, compare with the reference, then write it or refuse."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mlapi.batching.buckets import bucket_lengths, padded_length
from mlapi.bundles.manifest import SCHEMA, Evaluation, FileEntry, Manifest, Provenance
from mlapi.bundles.reference import referred
from mlapi.bundles.store import Bundle, write_bundle
from mlapi.bundling import parity
from mlapi.bundling.calibration import Calibration, read_calibration
from mlapi.bundling.describe import Description, describe
from mlapi.bundling.export import export
from mlapi.bundling.labelled import LabelForm, LabelledTexts, read_labelled
from mlapi.bundling.licence import UNKNOWN_LICENCE, spdx
from mlapi.bundling.original import Original, compare_reading, probing_texts
from mlapi.bundling.pull import CONFIG, WEIGHTS, Checkpoint, pull
from mlapi.bundling.quantise import store, store_static
from mlapi.bundling.sentence_pieces import compare_conversion
from mlapi.bundling.static import fix_scales
from mlapi.engines.arithmetic import STATIC, STATIC_GRAPH
from mlapi.engines.base import Engine as AnyEngine
from mlapi.engines.invariance import scan
from mlapi.engines.registry import load_engine
from mlapi.engines.torch import load_model
from mlapi.errors import BundleError, ConfigurationError
from mlapi.observability.drift import Sample
from mlapi.predictions import EncodedText
from mlapi.tokenizing.tokenizer import FILE as TOKENIZER
from mlapi.tokenizing.tokenizer import HfTokenizer

Engine: TypeAlias = Literal["openvino", "torch"]
Precision: TypeAlias = Literal["int8", "bf16", "fp32"]

_SHOWN: Final = 3
"""Shapes that a refusal names."""

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
        evaluate: files of labelled texts to measure it on; it has to be good enough on each.
        dataset: what people call the texts of each file; empty for the files' names.
        labels_are: whether the labels in those files are names or indices; None finds out.
        calibrate: files of texts, by which the scales of a further graph's activations are fixed, for processors with
            AMX; DistilBERT in int8 only.
        unevaluated: whether a precision that changes the scores may go without.
        licence: SPDX identifier of the weights' licence, or an expression of several; or "unknown".
        memory_bytes: what a process that serves it needs for it at most, where somebody measured it.
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
    evaluate: tuple[Path, ...] = ()
    dataset: tuple[str, ...] = ()
    labels_are: LabelForm | None = None
    calibrate: tuple[Path, ...] = ()
    unevaluated: bool = False
    licence: str = UNKNOWN_LICENCE
    memory_bytes: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        written = [self.licence, *self.datasets, *([] if self.name is None else [self.name])]
        unprintable = [text for text in written if not (text.strip() and text.isprintable())]
        changed = self.precision != "fp32"
        problems = [
            (
                self.engine == "torch" and self.precision == "int8",
                "the engine torch takes the precisions fp32 and bf16",
            ),
            (
                bool(self.calibrate) and (self.engine, self.precision) != ("openvino", "int8"),
                "--calibrate is for the engine openvino and the precision int8",
            ),
            (
                changed and not self.evaluate and not self.unevaluated,
                f"{self.precision} changes the scores: measure it with --evaluate, or say --no-evaluation",
            ),
            (
                bool(self.dataset) and len(self.dataset) != len(self.evaluate),
                f"--dataset names each of the files in turn: {len(self.dataset)} names, {len(self.evaluate)} files",
            ),
            (bool(unprintable), f"names and the licence must be printable text, unlike {unprintable}"),
            (
                spdx(self.licence) is None,
                f"--licence takes SPDX identifiers, such as Apache-2.0, or {UNKNOWN_LICENCE}, not {self.licence!r}",
            ),
            (
                len(set(self.datasets)) != len(self.evaluate),
                f"two data sets are called alike ({', '.join(self.datasets)}): tell them apart with --dataset",
            ),
        ]
        for wrong, msg in problems:
            if wrong:
                raise ConfigurationError(msg)

    @property
    def datasets(self) -> tuple[str, ...]:
        """What people call the texts of each file."""
        return self.dataset or tuple(path.name for path in self.evaluate)


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
    if order.evaluate and len(description.labels) == 1:
        msg = "a model with one label cannot be wrong about labelled texts: leave --evaluate out, with --no-evaluation"
        raise BundleError(msg)
    data = [
        read_labelled(path, description.labels, name, order.labels_are)
        for path, name in zip(order.evaluate, order.datasets, strict=True)
    ]
    calibration = read_calibration(order.calibrate, data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reference = _draft_reference(order, checkpoint, description, calibration, folder)
        original = Original(checkpoint.folder, labels=description.labels, max_tokens=description.max_tokens)
        _check_reading(reference, original, say)
        say(f"making the bundle for {order.engine}, {order.precision}")
        candidate = _draft_candidate(order, reference, calibration.texts, folder)
        evaluations, sample = _judge(candidate, original, data, order.threads, say)
        manifest = referred(candidate.manifest, sample) if sample.texts else candidate.manifest
        files = {name: candidate.file(name) for name in manifest.files}
        return write_bundle(order.output, files, partial(_complete, manifest, order, evaluations))


def _draft_reference(
    order: Order, checkpoint: Checkpoint, description: Description, calibration: Calibration, folder: Path
) -> Bundle:
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
                licence=spdx(order.licence) or UNKNOWN_LICENCE,
                built_with={tool: version(tool) for tool in _TOOLS[order.engine]},
                calibration=calibration.files,
            ),
        )

    weights = {CONFIG: checkpoint.folder / CONFIG, WEIGHTS: _in_one_file(checkpoint.weights, folder / WEIGHTS)}
    return write_bundle(folder / "reference", {**weights, TOKENIZER: tokenizer}, manifest)


def _in_one_file(weights: Sequence[Path], whole: Path) -> Path:
    """Put weights that are spread over several files into one; the same files always give the same bytes."""
    if len(weights) == 1:
        return weights[0]
    try:
        save_file(dict(chain.from_iterable(load_file(path).items() for path in weights)), whole, {"format": "pt"})
    except (OSError, SafetensorError) as error:
        msg = f"the weights cannot be read: {error}"
        raise BundleError(msg) from error
    return whole


def _draft_candidate(order: Order, reference: Bundle, calibration: Sequence[str], folder: Path) -> Bundle:
    """Make the reference's bundle one for the ordered engine and precision."""
    manifest = reference.manifest
    files = {name: reference.file(name) for name in manifest.files}
    if order.engine == "openvino":
        model = load_model(files[CONFIG], files[WEIGHTS])
        graph = export(model, max_tokens=manifest.longest, pad_id=manifest.pad_id)
        made = store(graph, order.precision, folder)
        if calibration:
            texts = HfTokenizer.load(files[TOKENIZER], manifest.longest).encode(calibration)
            graph = export(model, max_tokens=manifest.longest, pad_id=manifest.pad_id, written_out=True)
            fix_scales(graph, texts)
            made |= store_static(graph, folder)
        files = {**made, TOKENIZER: files[TOKENIZER]}
    return write_bundle(folder / "candidate", files, partial(_complete, manifest, order, ()))


def _complete(
    manifest: Manifest, order: Order, evaluations: tuple[Evaluation, ...], entries: Mapping[str, FileEntry]
) -> Manifest:
    return msgspec.structs.replace(
        manifest,
        engine=order.engine,
        precision=order.precision,
        files=dict(entries),
        evaluations=evaluations,
        memory_bytes=order.memory_bytes,
    )


def _check_reading(reference: Bundle, original: Original, say: Callable[[str], None]) -> None:
    """Compare how the bundle reads texts with how the checkpoint does.

    Raises:
        BundleError: a text has other tokens or other scores.
    """
    manifest = reference.manifest
    tokenizer = HfTokenizer.load(reference.file(TOKENIZER), manifest.longest)
    texts = probing_texts(original, manifest.longest)
    say(f"comparing tokens and scores of {len(texts)} probing texts with the pipeline of transformers")
    # One thread, for the pipeline, too: two take longer to agree on texts as short as most of these.
    with closing(load_engine("torch", reference, 1)) as engine:
        compare_reading(original, tokenizer, _runner(engine, manifest), texts)
    compare_conversion(original.tokenizer)


def _check_readable(tokenizer: HfTokenizer, data: Sequence[LabelledTexts]) -> None:
    """Refuse texts that the service refuses."""
    for texts in data:
        empty = [text for text in texts.texts if not tokenizer.normalise(text)]
        if empty:
            msg = f"{texts.name} holds texts without anything to read, such as {empty[0]!r}"
            raise BundleError(msg)


def _scan(engine: AnyEngine, manifest: Manifest) -> list[str]:
    """Say in which shapes of batches a text's bits are not those that it has alone; empty if in none."""
    lengths = bucket_lengths(manifest.max_tokens or engine.batch_tokens)
    uneven = [shape for shape, equal in scan(engine, lengths, manifest.pad_id) if not equal]
    shown = ", ".join(f"{rows} x {length}" for rows, length in uneven[:_SHOWN])
    return [f"texts change a bit in {len(uneven)} shapes of batches, such as {shown} tokens"] if uneven else []


def _runner(engine: AnyEngine, manifest: Manifest) -> parity.Runner:
    padded = partial(padded_length, max_tokens=manifest.longest)
    return parity.Runner(engine, manifest.pad_id, manifest.activation, padded)


def _judge(
    candidate: Bundle,
    original: Original,
    data: Sequence[LabelledTexts],
    threads: int,
    say: Callable[[str], None],
) -> tuple[tuple[Evaluation, ...], Sample]:
    """Measure the candidate on each of the data sets, and count its answers.

    Raises:
        BundleError: its scores depend on the batch though its engine says they do not, on one of the data sets it is
            less accurate than the reference or disagrees with it too often, or this machine cannot run it in its
            precision.
    """
    manifest = candidate.manifest
    tokenizer = HfTokenizer.load(candidate.file(TOKENIZER), manifest.longest)
    with closing(load_engine(manifest.engine, candidate, threads)) as engine:
        runner = _runner(engine, manifest)
        if data and STATIC_GRAPH in manifest.files and engine.identity.arithmetic != STATIC:
            msg = (
                f"fixed scales are measured on a processor with AMX; this one computes in {engine.identity.arithmetic}"
            )
            raise BundleError(msg)
        _check_readable(tokenizer, data)
        encoded = [tokenizer.encode(texts.texts) for texts in data]
        problems = []
        if engine.batch_invariant:
            tried = list(chain(*encoded)) or parity.made_up_texts(tokenizer, manifest.longest)
            say(f"comparing the scores of {len(tried)} texts alone and in batches")
            moved = parity.moved_by_batching(runner, tried)
            problems += _scan(engine, manifest) if data else []
            if moved:
                problems.append(f"the scores of {moved} of {len(tried)} texts depend on the other texts of a batch")
        if data and engine.identity.precision != manifest.precision:
            msg = f"{manifest.engine} computes in {engine.identity.precision} here: {manifest.precision} needs a GPU"
            raise BundleError(msg)

        sample = Sample()

        def note(text: EncodedText, label: int, score: float) -> None:
            sample.observe(manifest.labels[label], score, len(text.ids), text.unknown)

        evaluations = []
        for texts, tokens in zip(data, encoded, strict=True):
            say(f"comparing the scores of {len(tokens)} texts of {texts.name} with the reference's")
            expected = original.scores_of(texts.texts, threads)
            evaluations.append(parity.compare(runner, texts, tokens, expected, note))
    problems += chain.from_iterable(map(parity.shortfalls, evaluations))
    if problems:
        msg = f"{manifest.name} is not good enough to publish: {'; '.join(problems)}"
        raise BundleError(msg)
    return tuple(evaluations), sample
