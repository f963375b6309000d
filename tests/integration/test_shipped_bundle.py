"""The bundle that ships with the source is whole, says what is true of it, and predicts what its model card says."""

from collections import Counter
from functools import partial

import pytest

from mlapi.batching.buckets import padded_length
from mlapi.bundles.manifest import shares
from mlapi.bundles.store import open_bundle
from mlapi.bundling.labelled import read_labelled
from mlapi.bundling.parity import MAX_ACCURACY_LOSS, Runner, moved_by_batching, shortfalls
from mlapi.engines.registry import load_engine
from mlapi.settings import DEFAULT_BUNDLE
from mlapi.tokenizing.tokenizer import FILE, HfTokenizer
from tests.engine_checkpoints import shared_folder

BUNDLE = open_bundle(DEFAULT_BUNDLE)
MANIFEST = BUNDLE.manifest
CARD = (DEFAULT_BUNDLE / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runner() -> Runner:
    engine = load_engine(MANIFEST.engine, BUNDLE, 1)
    return Runner(engine, MANIFEST.pad_id, MANIFEST.activation, partial(padded_length, max_tokens=MANIFEST.max_tokens))


@pytest.fixture(scope="module")
def tokenizer() -> HfTokenizer:
    return HfTokenizer.load(BUNDLE.file(FILE), MANIFEST.max_tokens)


@pytest.mark.parametrize(
    ("text", "label", "score"),
    [
        ("This movie was fantastic!", "POSITIVE", 0.976),
        ("Terrible waste of time", "NEGATIVE", 0.975),
        ("It wasn't bad at all.", "POSITIVE", 0.970),
    ],
)
def test_it_predicts_as_the_reference_does(
    runner: Runner, tokenizer: HfTokenizer, text: str, label: str, score: float
) -> None:
    scores = runner.scores(tokenizer.encode([text])[0])
    assert MANIFEST.labels[scores.index(max(scores))] == label
    assert max(scores) == pytest.approx(score, abs=0.01)


def test_it_was_good_enough_when_it_was_made() -> None:
    assert MANIFEST.evaluations
    assert [shortfalls(evaluation) for evaluation in MANIFEST.evaluations] == [[] for _ in MANIFEST.evaluations]


def test_the_model_card_gives_the_measured_figures() -> None:
    assert MANIFEST.provenance.revision in CARD
    assert MANIFEST.provenance.licence in CARD
    for found in MANIFEST.evaluations:
        for figure in (
            found.dataset,
            f"{found.texts} texts",
            f"{found.accuracy:.4f}",
            f"{found.reference_accuracy:.4f}",
            f"{100 * found.agreement:.2f} %",
            f"{found.score_difference.median:.4f}",
            f"{found.score_difference.p99:.4f}",
            f"{found.score_difference.max:.4f}",
        ):
            assert figure in CARD


@pytest.mark.timeout(900)  # a thousand texts and more, on a machine that may be slow and busy
def test_its_accuracy_is_the_measured_one_here_too(runner: Runner, tokenizer: HfTokenizer) -> None:
    data = read_labelled(shared_folder() / "data" / "sst2" / "dev.tsv", MANIFEST.labels, "SST-2 dev")
    encoded = tokenizer.encode(data.texts)
    scores = [runner.scores(text) for text in encoded]
    right = sum(found.index(max(found)) == truth for found, truth in zip(scores, data.labels, strict=True))
    measured = next(evaluation for evaluation in MANIFEST.evaluations if evaluation.dataset == data.name)
    assert len(encoded) == measured.texts
    answers = Counter(MANIFEST.labels[found.index(max(found))] for found in scores)
    # The arithmetic of another processor may flip a label or two.
    assert shares(MANIFEST.labels, answers) == pytest.approx(MANIFEST.reference, abs=MAX_ACCURACY_LOSS)
    assert f"`POSITIVE` to {100 * MANIFEST.reference['POSITIVE']:.2f} %" in CARD
    assert right / len(encoded) == pytest.approx(measured.accuracy, abs=MAX_ACCURACY_LOSS)
    assert moved_by_batching(runner, encoded[:200]) == 0 or not runner.engine.batch_invariant
