"""LitServe with its batcher: plain transformers code in `predict`, at most 32 requests a batch."""

import os
from typing import Any

import litserve as ls
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

_BATCH = 32
_WAIT_S = 0.01


class Classifier(ls.LitAPI):
    """Classifies a request's texts; a batch is several requests."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
        self.model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"]).to(device).eval()

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        """Take the texts out of a request."""
        texts: list[str] = request["text"]
        return texts

    def predict(self, batch: list[list[str]]) -> list[list[list[float]]]:
        """Score all texts of all requests in one padded batch."""
        texts = [text for request in batch for text in request]
        encoded = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            rows = iter(self.model(**encoded).logits.softmax(-1).tolist())
        return [[next(rows) for _ in request] for request in batch]

    def encode_response(self, output: list[list[float]]) -> dict[str, Any]:
        """Name the scores."""
        names = self.model.config.id2label
        return {
            "predictions": [
                [{"label": names[index], "score": score} for index, score in enumerate(scores)] for scores in output
            ]
        }


if __name__ == "__main__":
    api = Classifier(max_batch_size=_BATCH, batch_timeout=_WAIT_S)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=600)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False)
