"""Ids of answers say what was said, of one text and one model, and cannot be made up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.cache.keys import KeyMaker, text_id
from mlapi.feedback.answer_ids import AnswerIds, belongs
from mlapi.feedback.keys import FeedbackKeys
from mlapi.feedback.votes import Sample

KEYS = FeedbackKeys(b"0" * 32)
MODEL = "0f" * 16

floats = st.floats(0, 1, width=32)


def ids(keys: FeedbackKeys = KEYS, model: str = "project", share: float = 0.0, draw: float = 0.5) -> AnswerIds:
    return AnswerIds(keys, model, share=share, draw=lambda: draw)


@given(form=st.binary(min_size=1), label=st.integers(0, 65535), score=floats)
def test_an_id_says_what_was_written_into_it(form: bytes, label: int, score: float) -> None:
    digest = KeyMaker(MODEL).digest(form)
    written, _ = ids().write(digest, MODEL, label, score)
    answer = ids().read(written)
    assert answer is not None
    assert (answer.address, answer.model_digest, answer.label, answer.score) == (digest[:16], MODEL, label, score)
    assert belongs(form, answer)
    assert not belongs(form + b" more", answer)
    assert written.startswith(text_id(digest, MODEL))


@given(place=st.integers(0, 97), digit=st.sampled_from("0123456789abcdef"))
def test_an_id_that_was_changed_is_none(place: int, digit: str) -> None:
    written, _ = ids().write(KeyMaker(MODEL).digest(b"fine"), MODEL, 1, 0.75)
    changed = written[:place] + digit + written[place + 1 :]
    assert (ids().read(changed) is not None) == (changed == written)


@given(st.text())
def test_anything_else_is_no_id(given_id: str) -> None:
    assert ids().read(given_id) is None


def test_an_id_counts_for_one_model_name_and_one_secret() -> None:
    written, _ = ids().write(KeyMaker(MODEL).digest(b"fine"), MODEL, 1, 0.75)
    assert ids(model="lab").read(written) is None
    assert ids(FeedbackKeys(b"1" * 32)).read(written) is None
    unsigned = text_id(KeyMaker(MODEL).digest(b"fine"), MODEL)
    assert ids().read(unsigned) is None


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_share_of_texts_that_are_asked_for_is_the_one_that_was_set(share: float) -> None:
    maker = KeyMaker(MODEL)
    asking = ids(share=share, draw=0.999)
    texts = 4000
    samples = [asking.write(maker.digest(b"%d" % number), MODEL, 0, 0.5)[1] for number in range(texts)]
    assert sum(Sample.TEXTS in sample for sample in samples) / texts == pytest.approx(share, abs=0.02)
    # Each text either always or never, whatever else is drawn.
    again = [asking.write(maker.digest(b"%d" % number), MODEL, 1, 0.9)[1] for number in range(texts)]
    assert [Sample.TEXTS in sample for sample in samples] == [Sample.TEXTS in sample for sample in again]


def test_answers_are_drawn_one_by_one() -> None:
    drawn = random.Random(1)  # noqa: S311  a test that can be repeated
    asking = AnswerIds(KEYS, "project", share=0.25, draw=drawn.random)
    digest = KeyMaker(MODEL).digest(b"fine")
    samples = [asking.write(digest, MODEL, 0, 0.5) for _ in range(4000)]
    assert sum(Sample.REQUESTS in sample for _, sample in samples) / 4000 == pytest.approx(0.25, abs=0.03)
    for written, sample in samples[:50]:
        answer = asking.read(written)
        assert answer is not None
        assert answer.sample == sample
