"""The small bundle that ships with the source is whole and small, and predicts to the last bit what its card says."""

from collections import Counter

import numpy as np
import pytest

from mlapi.bundles.manifest import shares
from mlapi.bundles.store import open_bundle
from mlapi.settings import LAB_BUNDLE
from tests.engine_checkpoints import shared_folder
from training.lab import TOLERANCE, read, served

MANIFEST = open_bundle(LAB_BUNDLE).manifest
CARD = (LAB_BUNDLE / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("This movie was fantastic!", 0.6809822916984558),
        ("Terrible waste of time", 0.005301057361066341),
        ("not good", 0.11709224432706833),
        ("not bad", 0.0005712849088013172),
        ("hardly a great film", 0.5986847877502441),
        ("xyzzy", 0.5665311813354492),
        ("", 0.5665311813354492),
    ],
)
def test_it_predicts_the_same_bits_on_every_processor(text: str, positive: float) -> None:
    (scores,) = served(LAB_BUNDLE, [text])
    assert scores[MANIFEST.labels.index("POSITIVE")] == np.float32(positive)


def test_it_is_as_good_as_it_has_to_be_and_as_scikit_learn() -> None:
    (found,) = MANIFEST.evaluations
    assert found is not None
    assert found.accuracy >= 0.8
    assert found.agreement == 1.0
    assert found.score_difference.max <= TOLERANCE
    assert sum(entry.bytes for entry in MANIFEST.files.values()) < 5e6


def test_the_model_card_gives_the_measured_figures() -> None:
    (found,) = MANIFEST.evaluations
    assert found is not None
    size = sum(entry.bytes for entry in MANIFEST.files.values()) / 1e6
    for figure in (
        f"{found.texts} sentences",
        f"{found.accuracy:.4f}",
        f"apart by {found.score_difference.median:.8f} in the median",
        f"{found.score_difference.max:.8f} at most",
        f"{size:.2f} MB",
        MANIFEST.provenance.licence,
    ):
        assert figure in CARD


@pytest.mark.parametrize("name", ["sst2/dev.tsv", "imdb_long.tsv", "customer_reviews_train.tsv"])
def test_its_accuracy_is_the_measured_one_here_too(name: str) -> None:
    data = read(shared_folder() / "data" / name)
    scores = served(LAB_BUNDLE, data.texts)
    accuracy = float((scores.argmax(axis=1) == data.labels).mean())
    if name == "sst2/dev.tsv":
        answers = Counter(MANIFEST.labels[place] for place in scores.argmax(axis=1))
        assert shares(MANIFEST.labels, answers) == MANIFEST.reference
        assert f"`POSITIVE` to {100 * MANIFEST.reference['POSITIVE']:.2f} %" in CARD
    assert f"{len(data.texts):,}".replace(",", " ") + f" | {accuracy:.4f} |" in CARD
    if name == "sst2/dev.tsv":
        assert accuracy == MANIFEST.evaluations[0].accuracy
