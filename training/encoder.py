"""Fine-tunes and distils DistilBERT classifiers, and makes bundles of them; needs PyTorch."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

from mlapi.bundles.store import Bundle
from mlapi.bundling.build import Order as BundleOrder
from mlapi.bundling.build import build as build_bundle
from mlapi.engines.telemetry import decline
from mlapi.tokenizing.tokenizer import FILE as TOKENIZER
from mlapi.tokenizing.tokenizer import HfTokenizer
from training.behaviour import Predict
from training.lab import Texts
from training.measures import Probabilities
from training.model_building import Point, Training
from training.params import EncoderFeatures, EncoderModel, Start
from training.source_encoder import ENCODERS, WEIGHTS
from training.source_encoder import NAME as SOURCE
from training.spacing import closed_up
from training.stages import Order, Say, TrainingError
from training.workspace import sha256, slug

SHIPPED_TOKENIZER: Final = Path(__file__).parents[1] / "models" / "distilbert-minilm-sst2" / TOKENIZER
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_LONGEST: Final = 512
_PAD: Final = 0
_UNKNOWN: Final = 100
"""Ids of [PAD] and [UNK] in the uncased vocabulary of BERT."""

_WARM_UP: Final = 0.1
_TOGETHER: Final = 64
_POINTS: Final = 40
"""Points of the learning curve, at most."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids of texts, one after the other, and where each text ends."""

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many tokens there are in all."""
        return len(self.ids)

    @property
    def unknown(self) -> int:
        """How many of them stand for something that the vocabulary has not."""
        return int((self.ids == _UNKNOWN).sum())

    def rows(self) -> list[list[int]]:
        """Return the ids of each text."""
        return [part.tolist() for part in np.split(self.ids, self.ends[:-1])]

    def save(self, path: Path) -> None:
        """Write both arrays, without pickle."""
        np.savez_compressed(path, ids=self.ids, ends=self.ends)

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["ids"], arrays["ends"])


def tokenize(order: Order, texts: Sequence[str]) -> Tokens:
    """Read the texts to learn from as the model to start from does, some without a treebank's spaces.

    Raises:
        TrainingError: the checkpoint is missing, or another one than the parameters name.
    """
    _, features = _parameters(order)
    learned = closed_up(texts, features.detokenized, features.seed)
    rows = [text.ids for text in HfTokenizer.load(_tokenizer(order), features.max_tokens).encode(learned)]
    return Tokens(np.concatenate(rows).astype(np.int32), np.cumsum([len(row) for row in rows]))


def build(order: Order, data: Texts, folder: Path, say: Say) -> Training:
    """Train, and leave a checkpoint of `transformers` in `folder`.

    Raises:
        TrainingError: a checkpoint is missing, or another one than the parameters name.
    """
    decline()
    disable_progress_bar()
    params, features = _parameters(order)
    rows = Tokens.load(order.work.stage("features") / "train.npz").rows()
    teacher = None
    if params.teacher:
        say("model_building: asking the teacher")
        learned = closed_up(data.texts, features.detokenized, features.seed)
        teacher = predictor(_checkpoint(order, params.teacher), features.max_tokens)(learned)
    torch.manual_seed(params.seed)
    model = _start(order, params)
    _freeze(model, params.frozen_layers)
    curve = _train(model, rows, data.labels, teacher, params, say=say)
    model.save_pretrained(folder)
    shutil.copy(_tokenizer(order), folder / TOKENIZER)
    (folder / TOKENIZER_CONFIG).write_text(_tokenizer_config(model.config.max_position_embeddings), encoding="utf-8")
    names = ("epochs", "batch", "learning_rate", "weight_decay", "label_smoothing", "class_weight", "seed")
    chosen: dict[str, float | int | str] = {name: getattr(params, name) for name in names}
    chosen["max_tokens"] = features.max_tokens
    if features.detokenized:
        chosen["detokenized"] = features.detokenized
    if params.frozen_layers:
        chosen["frozen_layers"] = params.frozen_layers
    if params.teacher:
        chosen |= {"teacher": params.teacher.sha256, "distillation": params.distillation}
        chosen["temperature"] = params.temperature
    chosen["start"] = params.start.sha256 if params.start else "random weights"
    return Training(chosen, "steps", curve, [])


def predictor(folder: Path, max_tokens: int = _LONGEST) -> Predict:
    """Return a function that gives a checkpoint's probabilities."""
    decline()
    disable_progress_bar()
    tokenizer = HfTokenizer.load(folder / TOKENIZER, max_tokens)
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()

    def predict(texts: Sequence[str]) -> Probabilities:
        rows = [list(text.ids) for text in tokenizer.encode(texts)]
        found = np.zeros((len(rows), model.config.num_labels))
        # Neighbours of similar length share a batch, so that little of it is padding.
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        with torch.inference_mode():
            for start in range(0, len(order), _TOGETHER):
                places = order[start : start + _TOGETHER]
                found[places] = model(**_batch([rows[place] for place in places])).logits.softmax(-1).double().numpy()
        return found

    return predict


def make_bundle(order: Order, output: Path, say: Say) -> Bundle:
    """Convert the checkpoint and compare the result with it on every evaluation set, as `mlapi bundle build` does.

    Raises:
        BundleError: the bundle is worse than the checkpoint, or this machine cannot tell.
    """
    params, _ = _parameters(order)
    prepared, names = order.work.stage("prepared"), list(order.work.evaluation_sets("prepared"))
    return build_bundle(
        BundleOrder(
            source=str(order.work.stage("model")),
            output=output,
            name=order.params.name,
            licence=order.params.licence,
            precision=params.precision,
            evaluate=tuple(prepared / f"evaluation-{slug(name)}.tsv" for name in names),
            dataset=tuple(names),
            labels_are="indices",
        ),
        say,
    )


def _parameters(order: Order) -> tuple[EncoderModel, EncoderFeatures]:
    """Return how the model is trained, and how it reads texts meanwhile."""
    building, features = order.params.building, order.params.features
    if not isinstance(building, EncoderModel) or not isinstance(features, EncoderFeatures):
        msg = "these are not the parameters of an encoder"
        raise TrainingError(msg)
    return building, features


def _train(
    model: Any,  # noqa: ANN401  PyTorch is read as Any
    rows: Sequence[Sequence[int]],
    labels: NDArray[np.int64],
    teacher: Probabilities | None,
    params: EncoderModel,
    *,
    say: Say,
) -> list[Point]:
    steps = params.epochs * math.ceil(len(rows) / params.batch)
    weight = None
    if params.class_weight == "balanced":
        counts = np.bincount(labels, minlength=model.config.num_labels)
        weight = torch.tensor(len(labels) / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        [one for one in model.parameters() if one.requires_grad],
        lr=params.learning_rate,
        weight_decay=params.weight_decay,
        fused=True,  # one pass over the memory instead of several: a sixth of a step's time
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _slope(step, steps))
    source = np.random.default_rng(params.seed)
    every, losses, curve = max(1, steps // _POINTS), [], []
    model.train()
    for step, places in enumerate(_order(source, rows, params), start=1):
        logits = model(**_batch([rows[place] for place in places])).logits
        truth = torch.as_tensor(labels[places])
        loss = functional.cross_entropy(logits, truth, weight=weight, label_smoothing=params.label_smoothing)
        if teacher is not None:
            loss = (1 - params.distillation) * loss + params.distillation * _from_teacher(
                logits, torch.as_tensor(teacher[places], dtype=torch.float32), params.temperature
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0 or step == steps:
            curve.append(Point(float(step), {"loss": float(np.mean(losses))}))
            losses.clear()
            say(f"model_building: step {step} of {steps}, loss {curve[-1].lines['loss']:.4f}")
    model.eval()
    return curve


def _order(source: np.random.Generator, rows: Sequence[Sequence[int]], params: EncoderModel) -> Iterator[list[int]]:
    """Yield batches of random texts; within 50 batches, those of similar length are together."""
    for _ in range(params.epochs):
        shuffled = source.permutation(len(rows)).tolist()
        batches = []
        for start in range(0, len(rows), 50 * params.batch):
            some = sorted(shuffled[start : start + 50 * params.batch], key=lambda place: len(rows[place]))
            batches += [some[first : first + params.batch] for first in range(0, len(some), params.batch)]
        yield from (batches[place] for place in source.permutation(len(batches)).tolist())


def _from_teacher(logits: Any, teacher: Any, temperature: float) -> Any:  # noqa: ANN401  PyTorch is read as Any
    """Return the distillation loss of Hinton et al., "Distilling the Knowledge in a Neural Network" (2015)."""
    softer = (teacher.clamp_min(1e-8).log() / temperature).softmax(-1)
    ours = functional.log_softmax(logits / temperature, -1)
    return temperature**2 * functional.kl_div(ours, softer, reduction="batchmean")


def _slope(step: int, steps: int) -> float:
    rising = max(1, int(_WARM_UP * steps))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _batch(rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[_PAD] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def _start(order: Order, params: EncoderModel) -> Any:  # noqa: ANN401  PyTorch is read as Any
    labels = order.params.labels
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    if params.start:
        # A head for other labels is left out, and starts with random weights. A checkpoint may be kept in 16 bits: what
        # AdamW adds to a weight is less than the last of them, and processors take many times as long.
        return AutoModelForSequenceClassification.from_pretrained(
            _checkpoint(order, params.start),
            local_files_only=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            **names,
        )
    sizes = params.fresh
    return DistilBertForSequenceClassification(
        DistilBertConfig(
            dim=sizes.dim,
            n_heads=sizes.heads,
            n_layers=sizes.layers,
            hidden_dim=4 * sizes.dim,
            pad_token_id=_PAD,
            **names,
        )
    )


def _freeze(model: Any, layers: int) -> None:  # noqa: ANN401  PyTorch is read as Any
    """Leave the embeddings and the first layers as they are.

    Raises:
        TrainingError: the model has fewer.
    """
    stack = model.distilbert.transformer.layer
    if layers > len(stack):
        msg = f"frozen_layers is {layers}, and the model has {len(stack)}"
        raise TrainingError(msg)
    for part in [model.distilbert.embeddings, *stack[:layers]] if layers else []:
        part.requires_grad_(requires_grad=False)


def _folder(order: Order, start: Start) -> Path:
    """Return where a checkpoint is.

    Raises:
        TrainingError: it is in neither place.
    """
    places = [*([order.shared / "models"] if order.shared else []), ENCODERS]
    for place in places:
        if (place / start.folder / WEIGHTS).exists():
            return place / start.folder
    where = " or ".join(map(str, places)) + ("" if order.shared else ", and SHARED_DIR is not set")
    how = ": python -m training.source_encoder makes it" if start.folder == SOURCE else ""
    msg = f"the checkpoint {start.folder} is not in {where}{how}"
    raise TrainingError(msg)


def _checkpoint(order: Order, start: Start) -> Path:
    folder = _folder(order, start)
    found = sha256(folder / WEIGHTS)
    if found != start.sha256:
        msg = f"{folder / WEIGHTS} is not the checkpoint that the parameters name: its SHA-256 is {found}"
        raise TrainingError(msg)
    return folder


def _tokenizer(order: Order) -> Path:
    params = order.params.building
    start = params.start if isinstance(params, EncoderModel) else None
    return _folder(order, start) / TOKENIZER if start else SHIPPED_TOKENIZER


def _tokenizer_config(max_tokens: int) -> str:
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens}
    return json.dumps(config | {f"{name}_token": token for name, token in names.items()}, indent=2)
