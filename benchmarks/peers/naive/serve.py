"""The naive service: FastAPI's synchronous routes, a Hugging Face pipeline, and a Redis GET and SET for each text."""

import hashlib
import json
import os
from typing import TypeAlias

import redis
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

Scores: TypeAlias = list[dict[str, str | float]]

_DAY_S = 86_400
_BATCH = 32

app = FastAPI(root_path="/project")
classifier = pipeline("text-classification", model=os.environ["MODEL"], top_k=None)
cache = redis.Redis.from_url(os.environ["REDIS_URL"])


class Texts(BaseModel):
    """What is asked."""

    text: str | list[str]

    @property
    def items(self) -> list[str]:
        """The texts, a lone one as a list."""
        return [self.text] if isinstance(self.text, str) else self.text


class Predictions(BaseModel):
    """What is answered."""

    predictions: list[Scores]


def key(text: str) -> str:
    """Name a text in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()


def recall(text: str) -> Scores | None:
    """Look a text up."""
    found = cache.get(key(text))
    return json.loads(found) if found else None


def keep(text: str, scores: Scores) -> None:
    """Store a text's scores."""
    cache.set(key(text), json.dumps(scores), ex=_DAY_S)


@app.get("/health")
def health() -> dict[str, str]:
    """Say that it runs."""
    return {"status": "ok"}


@app.post("/predict")
def predict(texts: Texts) -> Predictions:
    """Classify text by text."""
    answers = []
    for text in texts.items:
        scores = recall(text)
        if scores is None:
            scores = classifier([text], truncation=True)[0]
            keep(text, scores)
        answers.append(scores)
    return Predictions(predictions=answers)


@app.post("/bulk-predict")
def bulk_predict(texts: Texts) -> Predictions:
    """Classify in padded batches, in the order in which the texts came."""
    answers = {text: recall(text) for text in texts.items}
    missing = [text for text, scores in answers.items() if scores is None]
    computed = classifier(missing, truncation=True, batch_size=_BATCH) if missing else []
    for text, scores in zip(missing, computed, strict=True):
        keep(text, scores)
        answers[text] = scores
    return Predictions(predictions=[answers[text] or [] for text in texts.items])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, log_level="warning")
