"""Gives the probabilities of texts: of the model that was just built, and of a bundle."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mlapi.bundles.store import read_manifest
from mlapi.classifier import Classifier
from training.behaviour import Predict
from training.lab import export, served
from training.measures import Probabilities
from training.model_building import stored_model
from training.params import LinearModel
from training.stages import Order


def candidate(order: Order, scratch: ExitStack) -> Predict:
    """Return the probabilities of the model that `model_building` left: for a linear one, those that are served.

    Args:
        order: whose model.
        scratch: closed when the probabilities are not asked for any more.
    """
    if isinstance(order.params.building, LinearModel):
        folder = Path(scratch.enter_context(TemporaryDirectory()))
        export(stored_model(order.work, len(order.params.labels)), folder)
        return lambda texts: served(folder, texts).astype(np.float64)
    from training import encoder  # noqa: PLC0415  PyTorch, which only the models that need it have to have

    return encoder.predictor(order.work.stage("model"))


def champion(folder: Path, labels: Sequence[str], scratch: ExitStack) -> tuple[str, Predict] | None:
    """Return digest and probabilities of the bundle to compare with; None where there is none with these labels."""
    if not (folder / "bundle.json").exists():
        return None
    manifest = read_manifest(folder)
    if manifest.labels != tuple(labels):
        return None
    classifier = scratch.enter_context(Classifier.open(folder))

    def predict(texts: Sequence[str]) -> Probabilities:
        return np.array([found.scores for found in classifier.predict(texts)], dtype=np.float64)

    return manifest.digest, predict
