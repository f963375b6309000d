"""The manifest of a model bundle: its fields, its canonical form and its digests."""

import hashlib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from mlapi.errors import BundleError

MANIFEST_NAME: Final = "bundle.json"
SCHEMA: Final = 1

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


CachePolicy: TypeAlias = Literal["both", "l1", "none"]
"""The cache tiers in use: in-process and shared, in-process alone, or no tier."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle: its SHA-256 (hex) and its size in bytes."""

    sha256: str
    bytes: int


class CalibrationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of texts by which scales were fixed: its name without its folder, its SHA-256 (hex), the texts taken."""

    file: str
    sha256: str
    texts: int


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the weights came from and what made the bundle.

    Attributes:
        source: hub id or folder name of the checkpoint, or the data set of a model that was trained from nothing.
        revision: the hub's commit, or the SHA-256 of the checkpoint's weights for a local folder, or of the data set.
        licence: SPDX identifier of the weights' licence, or "unknown".
        built_with: versions of the libraries that trained, converted and quantised.
        parameters: what the training was told, the seed included; empty where it is not known.
        calibration: the files by whose texts scales were fixed; empty where none are fixed, or it was not noted.
    """

    source: str
    revision: str
    licence: str
    built_with: dict[str, str]
    parameters: dict[str, int | float | str] = {}
    calibration: tuple[CalibrationFile, ...] = ()


class ScoreDifference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Distribution of |score - reference score| of the reference's winning label, over the evaluation texts."""

    median: float
    p99: float
    max: float


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the bundle compares with the reference on one file of labelled texts.

    The reference is what the bundle was made from, run by the library that trained it: the fp32 checkpoint in PyTorch,
    or the fitted estimator in scikit-learn.

    Attributes:
        dataset: name of the data set.
        texts: how many texts, each line counted.
        accuracy: share of texts that the bundle labels right, 0 to 1.
        reference_accuracy: the same for the reference.
        agreement: share of texts to which both give the same label, 0 to 1.
        score_difference: how far the scores are apart.
        file: name of the file, without its folder. None here and below: in bundles made before it was noted.
        sha256: SHA-256 (hex) of the file.
        repeated: how many of the texts stand in the file before.
        truncated: how many of the texts are longer than `max_tokens`.
    """

    dataset: str
    texts: int
    accuracy: float
    reference_accuracy: float
    agreement: float
    score_difference: ScoreDifference
    file: str | None = None
    sha256: str | None = None
    repeated: int | None = None
    truncated: int | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Everything that the service has to know of a model.

    Attributes:
        schema: version of this format.
        name: the model's name, for people.
        labels: label names in the order of the model's outputs.
        activation: what turns the model's outputs into probabilities.
        max_tokens: tokens the model reads at most, special tokens included; None: texts of every length.
        pad_id: token id that fills a row up to its padded length.
        engine: the engine that the files are made for.
        precision: number format of the weights.
        files: the bundle's files by name.
        provenance: where it came from.
        evaluations: measured quality, one entry a file of labelled texts; empty when it was not evaluated.
        cache: the tiers that are worth asking before the model is: a very small one is faster than Redis.
        reference: share of each label among the answers to the evaluation texts: what drift is measured against.
        reference_bins: of these texts, the share in each bin of each feature (see `mlapi.observability.drift`).
        reference_texts: how many they are. None in bundles made before it was noted.
        memory_bytes: what a process that serves it needs for it at most, beside what every process needs and L1; None
            where nobody measured it.
    """

    schema: int
    name: str
    labels: tuple[str, ...]
    activation: Literal["softmax", "sigmoid"]
    max_tokens: int | None
    pad_id: int
    engine: str
    precision: Literal["fp32", "bf16", "int8"]
    files: dict[str, FileEntry]
    provenance: Provenance
    evaluations: tuple[Evaluation, ...] = ()
    cache: CachePolicy = "both"
    memory_bytes: int | None = None
    reference: dict[str, float] = {}
    reference_bins: dict[str, dict[str, float]] = {}
    reference_texts: int | None = None

    @property
    def longest(self) -> int:
        """`max_tokens` of a model that has a bound.

        Raises:
            BundleError: this one reads texts of every length.
        """
        if self.max_tokens is None:
            msg = f"the engine {self.engine} needs max_tokens"
            raise BundleError(msg)
        return self.max_tokens

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over all fields that can change an answer: the files and how to read them."""
        return _sha256_of(
            {
                "activation": self.activation,
                "engine": self.engine,
                "files": {name: entry.sha256 for name, entry in self.files.items()},
                "labels": self.labels,
                "max_tokens": self.max_tokens,
                "pad_id": self.pad_id,
                "precision": self.precision,
                "schema": self.schema,
            }
        )


def parse(content: bytes) -> Manifest:
    """Read a manifest; one with a single `evaluation`, as they were first written, has a list of one.

    Raises:
        BundleError: not JSON, an unknown schema, a field missing, unknown or out of bounds.
    """
    try:
        fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        schema = fields.get("schema")
        if schema is None or bytes(schema) != str(SCHEMA).encode():
            found = "none" if schema is None else bytes(schema).decode(errors="replace")
            msg = f"{MANIFEST_NAME} has schema {found}; this version reads schema {SCHEMA}"
            raise BundleError(msg)
        if "evaluation" in fields and "evaluations" not in fields:
            single = bytes(fields.pop("evaluation"))
            fields["evaluations"] = msgspec.Raw(b"[]" if single == b"null" else b"[%b]" % single)
        manifest = msgspec.json.decode(msgspec.json.encode(fields), type=Manifest)
    except msgspec.DecodeError as error:
        msg = f"{MANIFEST_NAME} cannot be read: {error}"
        raise BundleError(msg) from error
    _check(manifest)
    return manifest


def shares(labels: Sequence[str], answers: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each label among some answers, which are counted by label: a `reference`."""
    total = sum(answers.values())
    return {label: answers.get(label, 0) / total for label in labels}


def render(manifest: Manifest) -> bytes:
    """Write a manifest as indented JSON, ending with a new line."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def model_digest(manifest: Manifest, runtime: Mapping[str, str]) -> str:
    """Digest (32 hex digits) of the bundle and of all else that can change the last bit of a score on this machine.

    Args:
        manifest: the bundle's manifest.
        runtime: the engine's identity and the versions of the service's own normalisation and post-processing.
    """
    return _sha256_of({"bundle": manifest.digest, "runtime": dict(runtime)})[:32]


def _sha256_of(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()


def _is_printable(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _are_shares(shares: Collection[float]) -> bool:
    return all(0.0 <= share <= 1.0 for share in shares) and math.isclose(sum(shares), 1.0, abs_tol=1e-6)


def _check(manifest: Manifest) -> None:
    problems = [
        (len(manifest.labels) < 1 or len(set(manifest.labels)) != len(manifest.labels), "labels must be distinct"),
        (not all(map(_is_printable, manifest.labels)), "a label must be printable text"),
        (not _is_printable(manifest.name), "name must be printable text"),
        (manifest.max_tokens is not None and manifest.max_tokens < 1, "max_tokens must be positive, or null"),
        (manifest.memory_bytes is not None and manifest.memory_bytes < 1, "memory_bytes must be positive, or absent"),
        (
            bool(manifest.reference)
            and not (set(manifest.reference) == set(manifest.labels) and _are_shares(manifest.reference.values())),
            "reference must give every label its share, and all of them together 1",
        ),
        (
            not all(_are_shares(bins.values()) for bins in manifest.reference_bins.values()),
            "reference_bins must give every bin of a feature its share, and all of them together 1",
        ),
        (
            bool(manifest.reference_bins) and (manifest.reference_texts or 0) < 1,
            "reference_texts must say on how many texts reference_bins rest",
        ),
        (manifest.pad_id < 0, "pad_id must not be negative"),
        (not manifest.files, "files must not be empty"),
        (any(not _FILE_NAME.fullmatch(name) for name in manifest.files), "a file name must be a plain name"),
        (
            any(not _SHA256.fullmatch(entry.sha256) for entry in manifest.files.values()),
            "a sha256 must be 64 hex digits",
        ),
    ]
    for wrong, message in problems:
        if wrong:
            msg = f"{MANIFEST_NAME} is not valid: {message}"
            raise BundleError(msg)
