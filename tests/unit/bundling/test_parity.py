"""The judge of a bundle reads labelled texts, counts what is wrong, and sees scores that move with a batch."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.batching.buckets import padded_length
from mlapi.bundles.manifest import Evaluation, ScoreDifference
from mlapi.bundling import parity
from mlapi.bundling.labelled import LabelledTexts
from mlapi.engines.base import Logits, TokenIds
from mlapi.engines.fake import FakeEngine
from mlapi.predictions import EncodedText

TEXTS = [EncodedText(tuple(range(1, length + 1)), truncated=False) for length in range(1, 40)]


class FixedEngine(FakeEngine):
    """Answers each text with the logits prepared for its first token."""

    def __init__(self, logits: dict[int, tuple[float, ...]]) -> None:
        super().__init__(labels=2)
        self._logits = logits

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        del mask
        return np.array([self._logits[int(row[0])] for row in ids], dtype=np.float32)


class NeighbourEngine(FakeEngine):
    """Lets the last text of a batch change the first one's logits by one bit, as a shared scale does."""

    def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
        logits = super().infer(ids, mask)
        if len(ids) > 1:
            logits[0] = np.nextafter(logits[0], np.float32(np.inf))
        return logits


def runner(engine: FakeEngine) -> parity.Runner:
    return parity.Runner(engine, pad_id=0, activation="softmax", padded_length=partial(padded_length, max_tokens=64))


def fixed(*logits: tuple[float, ...]) -> parity.Runner:
    return runner(FixedEngine(dict(enumerate(logits))))


def labelled(*labels: int) -> tuple[LabelledTexts, list[EncodedText]]:
    texts = [EncodedText((index,), truncated=False) for index in range(len(labels))]
    return LabelledTexts("made up", [str(index) for index in range(len(labels))], labels), texts


def test_a_comparison_says_which_file_it_was_and_how_many_texts_were_repeated_or_cut() -> None:
    data = LabelledTexts("made up", ["a", "b", "a"], [0, 1, 0], "dev.tsv", "0" * 64)
    texts = [EncodedText((index,), truncated=index == 1) for index in range(3)]
    engine = fixed((1.0, 0.0), (0.0, 1.0), (1.0, 0.0))
    found = parity.compare(engine, data, texts, [engine.scores(text) for text in texts])
    assert (found.file, found.sha256, found.repeated, found.truncated) == ("dev.tsv", "0" * 64, 1, 1)


def test_a_comparison_counts_and_measures() -> None:
    reference = fixed((0.0, 2.0), (2.0, 0.0), (0.0, 1.0), (0.0, 3.0))
    candidate = fixed((0.0, 2.0), (2.0, 0.0), (1.0, 0.0), (0.0, 3.0))
    data, texts = labelled(1, 1, 0, 1)
    found = parity.compare(candidate, data, texts, [reference.scores(text) for text in texts])
    assert (found.dataset, found.texts) == ("made up", 4)
    assert (found.accuracy, found.reference_accuracy, found.agreement) == (0.75, 0.5, 0.75)
    # Text 2: the reference's winner has sigmoid(1) there and sigmoid(-1) in the candidate.
    assert found.score_difference.max == pytest.approx(0.7310586 - 0.2689414, abs=1e-6)
    assert found.score_difference.p99 == found.score_difference.max
    assert found.score_difference.median == 0


def test_labels_that_do_not_exclude_each_other_agree_if_the_same_ones_apply() -> None:
    data, texts = labelled(0, 0)
    engine = FixedEngine({0: (3.0, 0.1), 1: (3.0, -2.0)})
    candidate = parity.Runner(engine, pad_id=0, activation="sigmoid", padded_length=lambda tokens: tokens)
    found = parity.compare(candidate, data, texts, [(0.95, 0.49), (0.95, 0.1)])
    assert (found.accuracy, found.reference_accuracy, found.agreement) == (1.0, 1.0, 0.5)


def evaluation(accuracy: float, reference: float, agreement: float) -> Evaluation:
    return Evaluation("made up", 1000, accuracy, reference, agreement, ScoreDifference(0, 0, 0))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (evaluation(0.89, 0.89, 1.0), []),
        (evaluation(0.886, 0.89, 0.99), []),
        (evaluation(0.95, 0.89, 0.995), []),
        (evaluation(0.884, 0.89, 1.0), ["0.60 points below"]),
        (evaluation(0.89, 0.89, 0.989), ["98.90 %"]),
        (evaluation(0.5, 0.89, 0.5), ["39.00 points below", "50.00 %"]),
    ],
)
def test_what_is_not_good_enough_is_said(found: Evaluation, words: list[str]) -> None:
    said = parity.shortfalls(found)
    assert len(said) == len(words)
    assert all("the 1000 texts of made up" in sentence for sentence in said)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_an_engine_that_scores_each_text_by_itself_moves_none() -> None:
    assert parity.moved_by_batching(runner(FakeEngine(labels=2)), TEXTS) == 0


def test_a_single_bit_that_a_neighbour_changes_is_seen() -> None:
    assert parity.moved_by_batching(runner(NeighbourEngine(labels=2)), TEXTS) > len(TEXTS) // 2


def test_a_text_that_is_never_first_alone_is_seen_in_shuffled_batches() -> None:
    class OrderEngine(FakeEngine):
        """Changes the texts whose neighbour before them is longer, which never happens in rising order."""

        def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
            logits = super().infer(ids, mask)
            logits[1:][mask.sum(axis=1)[:-1] > mask.sum(axis=1)[1:]] += 1
            return logits

    assert parity.moved_by_batching(runner(OrderEngine(labels=2)), TEXTS) > 0


@given(st.integers(1, 64), st.integers(1, 5))
def test_rows_are_padded_by_their_own_length(length: int, rows: int) -> None:
    seen: list[tuple[TokenIds, TokenIds]] = []

    class Recorder(FakeEngine):
        def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
            seen.append((ids, mask))
            return super().infer(ids, mask)

    text = EncodedText((9,) * length, truncated=False)
    parity.Runner(Recorder(2), 3, "softmax", partial(padded_length, max_tokens=64)).logits([text] * rows)
    ids, mask = seen[0]
    assert ids.shape == mask.shape == (rows, padded_length(length, 64))
    assert (mask.sum(axis=1) == length).all()
    assert ((ids == 9) == (mask == 1)).all()
    assert (ids[mask == 0] == 3).all()


def test_made_up_texts_have_many_lengths_up_to_the_longest() -> None:
    class LetterTokenizer:
        ascii_fold = None

        def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
            return [text.encode() for text in texts]

        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            return [EncodedText(tuple(b" " + text.encode()), truncated=False) for text in texts]

    lengths = {len(text.ids) for text in parity.made_up_texts(LetterTokenizer(), max_tokens=64)}
    assert len(lengths) > 15
    assert max(lengths) == 2 * 64
