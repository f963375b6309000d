"""mosec with dynamic batching: plain transformers code in `forward`, at most 32 requests a batch."""

import os
from typing import Any

import torch
from mosec import Server, Worker
from transformers import AutoModelForSequenceClassification, AutoTokenizer

_BATCH = 32
_WAIT_MS = 10


class Classifier(Worker):
    """Classifies a request's texts; a batch is several requests."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
        self.model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"]).eval()

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score all texts of all requests in one padded batch."""
        texts = [text for request in data for text in request["text"]]
        encoded = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            rows = iter(self.model(**encoded).logits.softmax(-1).tolist())
        names = self.model.config.id2label
        return [
            {
                "predictions": [
                    [{"label": names[index], "score": score} for index, score in enumerate(next(rows))]
                    for _ in request["text"]
                ]
            }
            for request in data
        ]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Classifier, num=1, max_batch_size=_BATCH, max_wait_time=_WAIT_MS, timeout=600)
    server.run()
