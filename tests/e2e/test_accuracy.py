"""The whole SST-2 dev set over HTTP: as accurate as promised, and each sentence the same to the byte in any company."""

import csv
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from tests.engine_checkpoints import shared_folder
from tests.service_process import ServiceProcess

BATCH = 32
CALLERS = (1, 1, 2, 5, 16, 64)
"""Texts in a request, by caller."""

ACCURACY = 0.89
NO_STORE = {"cache-control": "no-store"}
LABELS = ("NEGATIVE", "POSITIVE")


@pytest.fixture(scope="module")
def sentences() -> dict[str, int]:
    """Sentences and their labels."""
    with (shared_folder() / "data" / "sst2" / "dev.tsv").open(encoding="utf-8", newline="") as file:
        rows = {
            row["sentence"]: int(row["label"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    assert len(rows) > 800
    return rows


def predict(service: ServiceProcess, texts: Sequence[str], batch: int) -> dict[str, bytes]:
    """Return the bytes of each text's prediction, asked for in batches of this size."""
    found: dict[str, bytes] = {}
    for start in range(0, len(texts), batch):
        some = texts[start : start + batch]
        response = service.predict(some, headers=NO_STORE)
        assert response.status_code == 200, response.text
        assert response.headers["cache-status"].startswith("mlapi; fwd=miss; detail="), "the model answers, not a cache"
        body = response.content.removeprefix(b'{"predictions":[[').removesuffix(b"]]}")
        found |= dict(zip(some, body.split(b"],["), strict=True))
    return found


def predict_at_once(service: ServiceProcess, texts: Sequence[str], sizes: Sequence[int]) -> dict[str, bytes]:
    """Return the same with a caller for each batch size, all at the same time, each with its share of the texts."""
    with ThreadPoolExecutor(len(sizes)) as callers:
        shares = [texts[number :: len(sizes)] for number in range(len(sizes))]
        found = callers.map(predict, repeat(service), shares, sizes)
        return {text: prediction for share in found for text, prediction in share.items()}


@pytest.mark.timeout(600)  # three times all sentences through the model, on a machine that may be slow and busy
def test_a_sentence_has_the_same_bytes_alone_in_a_batch_and_shuffled_under_load(sentences: dict[str, int]) -> None:
    texts = list(sentences)
    shuffled = random.Random(7).sample(texts, len(texts))  # noqa: S311  a seed, so that each run asks the same
    with ServiceProcess() as service:
        batched = predict(service, texts, BATCH)
        with service.counting() as rises:
            alone = predict(service, texts, 1)
        assert (
            rises['mlapi_batch_texts_sum{model="project"}']
            == rises['mlapi_batch_texts_count{model="project"}']
            == len(texts)
        )
        at_once = predict_at_once(service, shuffled, CALLERS)
    assert {text for text in texts if batched[text] != alone[text]} == set()
    assert {text for text in texts if batched[text] != at_once[text]} == set()
    right = sum(batched[text].startswith(b'{"label":"%b"' % LABELS[sentences[text]].encode()) for text in texts)
    assert right / len(texts) >= ACCURACY
