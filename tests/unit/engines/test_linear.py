"""The linear engine adds up exactly, says what it cannot read, and its tokenizer refuses what it does not implement."""

import math
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlapi.bundles.manifest import FileEntry, Manifest
from mlapi.bundles.store import Bundle, write_bundle
from mlapi.engines.linear import IDF, WEIGHTS, LinearEngine
from mlapi.engines.registry import TOKENIZERS, import_tokenizer, load_engine
from mlapi.errors import BundleError
from mlapi.tokenizing.ngrams import ANALYSER, FILE, NgramTokenizer, Vocabulary
from tests.manifest_example import manifest_of

IDFS = np.array([0, 1.5, 2.25, 3.0, 1e8], dtype=np.float32)


def bundle(folder: Path, labels: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> Bundle:
    for name, array in arrays.items():
        np.save(folder / name, array)

    def describe(entries: Mapping[str, FileEntry]) -> Manifest:
        return manifest_of(entries, labels=labels, max_tokens=None, engine="linear", precision="fp32")

    return write_bundle(folder / "bundle", {name: folder / name for name in arrays}, describe)


def logits(engine: LinearEngine, *ids: int) -> list[float]:
    row = np.array([ids])
    found: list[float] = engine.infer(row, np.ones_like(row))[0].tolist()
    return found


def test_two_labels_have_one_row_of_weights_and_the_logistic_function(tmp_path: Path) -> None:
    weights = np.array([[0.5, 1, -2, 4, 0]], dtype=np.float32)
    engine = load_engine("linear", bundle(tmp_path, ("NO", "YES"), {IDF: IDFS, WEIGHTS: weights}), 4)
    ids = np.array([[0, 1, 1, 2]])
    first, second = engine.infer(ids, np.ones_like(ids))[0].tolist()
    values = 1.5 * (1 + math.log(2)), 2.25
    assert first == 0
    assert second == pytest.approx(0.5 + (values[0] - 2 * values[1]) / math.hypot(*values), rel=1e-6)


def test_more_labels_have_a_row_each(tmp_path: Path) -> None:
    weights = np.array([[0.5, 1, 0, 0, 0], [0, 0, 2, 0, 0], [-1, 0, 0, 3, 0]], dtype=np.float32)
    engine = load_engine("linear", bundle(tmp_path, ("a", "b", "c"), {IDF: IDFS, WEIGHTS: weights}), 1)
    ids = np.array([[0, 1], [0, 3], [0, 0]])
    assert engine.infer(ids, np.ones_like(ids)).tolist() == [[1.5, 0, -1], [0.5, 0, 2], [0.5, 0, -1]]


def test_a_text_without_a_known_term_gets_the_intercept() -> None:
    engine = LinearEngine(IDFS, np.array([[0.25, 1, 1, 1, 1]], dtype=np.float32))
    assert logits(engine, 0) == logits(engine, 0, 0, 0) == [0, 0.25]


def test_the_order_of_the_terms_changes_no_bit() -> None:
    """Added up one by one, these would: the large one swallows what was there before it."""
    engine = LinearEngine(IDFS, np.array([[0.1, 0.3, 1e-7, -0.3, 1e7]], dtype=np.float32))
    assert len({tuple(logits(engine, *ids)) for ids in permutations((1, 2, 3, 4, 4))}) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {IDF: IDFS},
        {IDF: IDFS, WEIGHTS: np.zeros((2, 5), np.float32)},
        {IDF: IDFS, WEIGHTS: np.zeros((1, 4), np.float32)},
        {IDF: IDFS.reshape(1, 5), WEIGHTS: np.zeros((1, 1), np.float32)},
        {IDF: IDFS.astype(np.float64), WEIGHTS: np.zeros((1, 5), np.float32)},
        {IDF: IDFS, WEIGHTS: np.full((1, 5), np.nan, np.float32)},
    ],
    ids=["missing", "too many labels", "too few terms", "a matrix", "other numbers", "not finite"],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with pytest.raises(BundleError):
        load_engine("linear", bundle(tmp_path, ("NO", "YES"), arrays), 1)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    made = bundle(tmp_path, ("NO", "YES"), {IDF: np.array([print]), WEIGHTS: np.zeros((1, 5), np.float32)})
    with pytest.raises(BundleError, match="is not an array"):
        load_engine("linear", made, 1)


def test_a_vocabulary_for_another_analyser_is_refused(tmp_path: Path) -> None:
    file = tmp_path / FILE
    for changed in ({"ngram_range": (1, 3)}, {"lowercase": False}, {"token_pattern": r"\w+"}):
        file.write_bytes(msgspec.json.encode(Vocabulary(msgspec.structs.replace(ANALYSER, **changed), ["good"])))
        with pytest.raises(BundleError, match="another analyser"):
            NgramTokenizer.load(file, None)
    file.write_bytes(b"{}")
    with pytest.raises(BundleError, match="not a vocabulary"):
        NgramTokenizer.load(file, None)
    file.write_bytes(msgspec.json.encode(Vocabulary(ANALYSER, ["good"])))
    with pytest.raises(BundleError, match="max_tokens must be null"):
        NgramTokenizer.load(file, 512)


def test_a_bundle_without_a_tokenizer_is_refused() -> None:
    assert {import_tokenizer([name]).file for name in TOKENIZERS} == set(TOKENIZERS)
    with pytest.raises(BundleError, match="no tokenizer"):
        import_tokenizer(["model.bin"])
