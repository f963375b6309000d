"""A record decodes to the prediction that was encoded, or to none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.cache.codec import Codec, CorruptRecordError
from mlapi.cache.keys import KeyMaker
from mlapi.dialects.ranked import RankedLabels
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction
from tests.stores import CODEC, OTHER_MODEL, POSTPROCESSOR, digest

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
any_text = st.text(st.characters())


@st.composite
def predictions(draw: st.DrawFn, postprocessor: Postprocessor = POSTPROCESSOR) -> Prediction:
    labels = len(postprocessor.labels)
    logits = draw(st.lists(finite, min_size=labels, max_size=labels))
    tokens, truncated = draw(st.integers(1, 2**32 - 1)), draw(st.booleans())
    return postprocessor.prediction(logits, tokens=tokens, truncated=truncated)


@given(any_text, predictions())
def test_a_record_decodes_to_the_same_bytes(text: str, prediction: Prediction) -> None:
    decoded = CODEC.decode(digest(text), CODEC.encode(digest(text), prediction))
    assert decoded == prediction
    ranked = RankedLabels(POSTPROCESSOR)
    assert ranked.all(decoded) == ranked.all(prediction)


@given(st.data(), st.integers(1, 30))
def test_that_holds_for_any_number_of_labels(data: st.DataObject, labels: int) -> None:
    postprocessor = Postprocessor([f"label {index}" for index in range(labels)], "sigmoid")
    prediction = data.draw(predictions(postprocessor))
    codec = Codec(OTHER_MODEL, postprocessor)
    decoded = codec.decode(digest("text"), codec.encode(digest("text"), prediction))
    ranked = RankedLabels(postprocessor)
    assert ranked.all(decoded) == ranked.all(prediction)


@given(any_text, predictions(), st.data())
def test_a_record_that_was_cut_short_never_decodes(text: str, prediction: Prediction, data: st.DataObject) -> None:
    record = CODEC.encode(digest(text), prediction)
    length = data.draw(st.integers(0, len(record) - 1))
    with pytest.raises(CorruptRecordError):
        CODEC.decode(digest(text), record[:length])


@given(any_text, predictions(), st.binary(min_size=1))
def test_a_record_with_something_after_it_never_decodes(text: str, prediction: Prediction, more: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        CODEC.decode(digest(text), CODEC.encode(digest(text), prediction) + more)


@given(any_text, predictions())
def test_a_record_with_any_one_bit_flipped_never_decodes(text: str, prediction: Prediction) -> None:
    record = CODEC.encode(digest(text), prediction)
    for bit in range(8 * len(record)):
        damaged = bytearray(record)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptRecordError):
            CODEC.decode(digest(text), bytes(damaged))


@given(any_text, st.binary(max_size=64))
def test_bytes_from_anywhere_never_decode(text: str, record: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        CODEC.decode(digest(text), record)


@given(any_text, predictions())
def test_a_record_of_another_model_never_decodes(text: str, prediction: Prediction) -> None:
    theirs = Codec(OTHER_MODEL, POSTPROCESSOR)
    # Even under our own digest: a copy that someone moved from their namespace into ours.
    for owner in (digest(text), KeyMaker(OTHER_MODEL).digest(text.encode())):
        with pytest.raises(CorruptRecordError):
            CODEC.decode(digest(text), theirs.encode(owner, prediction))


@given(st.lists(any_text, min_size=2, max_size=2, unique=True), predictions())
def test_a_record_of_another_text_never_decodes(texts: list[str], prediction: Prediction) -> None:
    one, other = texts
    with pytest.raises(CorruptRecordError):
        CODEC.decode(digest(one), CODEC.encode(digest(other), prediction))
