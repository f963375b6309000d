"""Reads what the training is told: `params.yaml`, with a profile's changes laid over it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from mlapi.learn.gate import Floors, Share

DEFAULT: Final = Path(__file__).with_name("params.yaml")

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of labelled texts.

    Attributes:
        name: what people call it.
        file: its path below the data folder.
        sha256: what its SHA-256 (hex) must be, so that a run names its data whatever folder they were in.
        labels: for each value of its label column the model's label.
        ignore: the values of its label column whose texts are left out.
        overlap: where a text to judge with is left out if it is one to learn from as well: there, or here.
    """

    name: str
    file: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    labels: dict[str, str]
    ignore: tuple[str, ...] = ()
    overlap: Literal["train", "evaluation"] = "train"


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the texts come from.

    Attributes:
        train: the files to learn from, joined.
        evaluate: the files to judge with, each for itself.
        held_out: share of the training texts that is set aside to judge with, drawn within each label.
        seed: of that draw.
        feedback_copies: how many times each text from opinions, if there are some, is learned from.
    """

    train: list[Source]
    evaluate: list[Source] = []
    held_out: Share = 0.0
    seed: int = 7
    feedback_copies: Count = 1


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How texts are cleaned, and what stops the run.

    Attributes:
        duplicates: whether a text that was there before, with the same label, stays.
        conflicts: whether texts that occur with several labels stay.
        max_conflicts: share of such texts above which the labels are not to be trusted.
        min_texts: how many texts each label needs at least.
        max_characters: a longer text is not one text.
    """

    duplicates: Literal["keep", "drop"] = "drop"
    conflicts: Literal["keep", "drop"] = "drop"
    max_conflicts: Share = 0.01
    min_texts: Count = 20
    max_characters: Count = 50_000


class LinearFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear", tag_field="kind"):
    """Which terms a linear model knows: those in at least `min_df` texts, of them the `terms` best by chi-squared."""

    min_df: Count = 3
    terms: Count = 40_000


class EncoderFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="encoder", tag_field="kind"):
    """How an encoder reads texts while it is trained.

    Attributes:
        max_tokens: how many tokens of a text, special ones included; the rest is cut off.
        detokenized: share of the texts to learn from that lose the spaces which a treebank's tokeniser put in.
        seed: of the draw of those texts.
    """

    max_tokens: Count = 128
    detokenized: Share = 0.0
    seed: int = 7


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The search for the parameters of a linear model, by stratified cross-validation.

    Attributes:
        trials: how many to try; 0 takes the given ones.
        sampler: tree-structured Parzen estimators, or every combination of a grid.
        folds: parts that the training texts are split into.
        seed: of folds and sampler.
        C: bounds of the inverse strength of the regularisation; the grid's values.
        class_weight: the weights to choose from.
    """

    trials: Annotated[int, msgspec.Meta(ge=0)] = 0
    sampler: Literal["tpe", "grid"] = "tpe"
    folds: Annotated[int, msgspec.Meta(ge=2)] = 5
    seed: int = 7
    C: tuple[float, ...] = (0.1, 30.0)
    class_weight: tuple[Literal["none", "balanced"], ...] = ("none", "balanced")


class LinearModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear", tag_field="kind"):
    """Logistic regression.

    Attributes:
        C: inverse of the strength of the regularisation.
        class_weight: whether rare labels weigh more, so that each label weighs the same in all.
        seed: of the solver, which draws nothing as it is set here.
        search: how to choose C and class_weight; they are where it starts.
        curve: shares of the training texts to draw the learning curve with.
    """

    C: Positive = 4.0
    class_weight: Literal["none", "balanced"] = "none"
    seed: int = 7
    search: Search = Search()
    curve: tuple[Share, ...] = (0.1, 0.25, 0.5, 1.0)


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The checkpoint to start from, by the name of its folder and the SHA-256 of its weights.

    The folder is below the models folder or, if it is not there, below build/encoders.
    """

    folder: str
    sha256: str


class Fresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A DistilBERT with random weights, for small profiles: it shows that the stages work, and learns little."""

    dim: Count = 32
    heads: Count = 2
    layers: Count = 2


class EncoderModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="encoder", tag_field="kind"):
    """Fine-tuning of a DistilBERT with AdamW, and with a teacher distillation.

    Attributes:
        start: the checkpoint to start from; None: `fresh` weights.
        fresh: sizes of a model with random weights.
        frozen_layers: how many of the first layers keep their weights, and the embeddings with them if any does: most
            of the time of a step is theirs.
        teacher: a checkpoint with the same labels and tokens whose probabilities are learned from as well.
        distillation: the teacher's share of the loss.
        temperature: by which both logits are divided in the teacher's part of the loss.
        epochs: passes over the training texts.
        batch: texts a step.
        learning_rate: the highest; it rises over the first tenth of the steps, then falls to 0.
        weight_decay: of AdamW.
        label_smoothing: how much of a text's label is given to the others.
        class_weight: whether rare labels weigh more.
        seed: of the order of texts, the dropout and fresh weights.
        precision: number format of the bundle's weights. A third label is near the other two for more texts, and int8
            changes more of them than a bundle may.
    """

    start: Start | None = None
    fresh: Fresh = Fresh()
    frozen_layers: Annotated[int, msgspec.Meta(ge=0)] = 0
    teacher: Start | None = None
    distillation: Share = 0.5
    temperature: Positive = 2.0
    epochs: Count = 3
    batch: Count = 64
    learning_rate: Positive = 5e-5
    weight_decay: float = 0.01
    label_smoothing: Share = 0.05
    class_weight: Literal["none", "balanced"] = "none"
    seed: int = 7
    precision: Literal["int8", "bf16", "fp32"] = "int8"


class ModelParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that makes one model.

    Attributes:
        name: the bundle's name.
        labels: in the order of the outputs.
        licence: SPDX identifier of the weights' licence.
        gate: what the model has to reach to become a bundle.
    """

    name: str
    labels: tuple[str, ...]
    licence: str
    data: Data
    preprocessing: Preprocessing
    features: LinearFeatures | EncoderFeatures
    building: LinearModel | EncoderModel
    gate: Floors


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All models of a file, by name."""

    models: dict[str, ModelParams]


class ParamsError(Exception):
    """The parameters cannot be read or contradict each other; the message says where."""


def read_params(files: Sequence[Path]) -> Params:
    """Read a file of parameters, and lay the others over it.

    Mappings are merged, null removes, everything else is replaced.

    Raises:
        ParamsError: a file is missing or not YAML, or a value is unknown, of the wrong kind or out of bounds.
    """
    merged: dict[str, Any] = {}
    for file in files:
        try:
            content = msgspec.yaml.decode(file.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError) as error:
            msg = f"{file}: {error}"
            raise ParamsError(msg) from error
        merged = _laid_over(merged, content)
    try:
        params = msgspec.convert(merged, Params)
    except msgspec.ValidationError as error:
        msg = f"{', '.join(map(str, files))}: {error}"
        raise ParamsError(msg) from error
    for name, model in params.models.items():
        for problem in _contradictions(model):
            msg = f"models.{name}: {problem}"
            raise ParamsError(msg)
    return params


def digest(values: object) -> str:
    """Return the SHA-256 (hex) of parameters or of other values, whatever the order of their keys."""
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as RFC 7396 (JSON Merge Patch) does: null removes."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            known = merged.get(key)
            merged[key] = _laid_over(known if isinstance(known, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _contradictions(model: ModelParams) -> list[str]:
    kinds = {model.features.__struct_config__.tag, model.building.__struct_config__.tag}
    sources = [*model.data.train, *model.data.evaluate]
    unknown = {label for source in sources for label in source.labels.values()} - set(model.labels)
    both = {value for source in sources for value in source.ignore if value in source.labels}
    found = []
    if len(kinds) > 1:
        found.append("features and building are of two kinds")
    if unknown:
        found.append(f"the data have labels that the model has not: {', '.join(sorted(unknown))}")
    if both:
        found.append(f"a label is ignored and translated: {', '.join(sorted(both))}")
    if not model.data.train:
        found.append("there is nothing to train on")
    if not model.data.evaluate and not model.data.held_out:
        found.append("there is nothing to evaluate with: name a file or hold some texts out")
    if not model.gate.accuracy:
        found.append("the gate asks for nothing: name a least accuracy")
    if model.data.feedback_copies > 1 and model.preprocessing.duplicates == "drop":
        found.append("data.feedback_copies has no effect while preprocessing.duplicates is drop")
    return found
