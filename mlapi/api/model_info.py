"""Says which model is served, as `GET {root}/model` answers it."""

from mlapi.dialects.schemas import ModelInfo, ModelQuality
from mlapi.model import Model


def describe(model: Model) -> ModelInfo:
    """Return what its bundle, its engine and its evaluations say of a model."""
    measured = [
        ModelQuality(
            dataset=evaluation.dataset,
            texts=evaluation.texts,
            accuracy=evaluation.accuracy,
            reference_accuracy=evaluation.reference_accuracy,
            agreement=evaluation.agreement,
        )
        for evaluation in model.manifest.evaluations
    ]
    return ModelInfo(
        name=model.manifest.name,
        digest=model.digest,
        bundle_digest=model.manifest.digest,
        labels=list(model.manifest.labels),
        max_tokens=model.manifest.max_tokens,
        engine=model.identity.name,
        precision=model.identity.precision,
        evaluation=measured[0] if measured else None,
        evaluations=measured,
    )
