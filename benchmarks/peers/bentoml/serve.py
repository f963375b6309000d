"""BentoML with adaptive batching: plain transformers code in a batchable method, at most 32 texts a batch."""

import os
from typing import Any

import bentoml
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

_BATCH = 32
_LATENCY_MS = 60_000


@bentoml.service(workers=1, traffic={"timeout": 600})
class Classifier:
    """Classifies texts."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
        self.model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"]).eval()

    @bentoml.api(route="/predict", batchable=True, batch_dim=0, max_batch_size=_BATCH, max_latency_ms=_LATENCY_MS)
    def predict(self, text: list[str]) -> list[list[dict[str, Any]]]:
        """Score a batch's texts, padded to the longest."""
        encoded = self.tokenizer(list(text), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            rows = self.model(**encoded).logits.softmax(-1).tolist()
        names = self.model.config.id2label
        return [[{"label": names[index], "score": score} for index, score in enumerate(scores)] for scores in rows]
