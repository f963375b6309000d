"""The record of one prediction."""

import hashlib
import struct

import pytest

from mlapi.cache.codec import Codec, CorruptRecordError
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction
from tests.stores import CODEC, MODEL, digest, prediction

TEXT = digest("a charming film")


def sealed(body: bytes) -> bytes:
    """Return a record with the right tag, whatever is in it."""
    return body + hashlib.blake2b(body, key=bytes.fromhex(MODEL), digest_size=8).digest()


def body(*, version: int = 3, flags: int = 0, labels: int = 2, logits: tuple[float, float] = (-0.75, 0.75)) -> bytes:
    return struct.pack("<BBHI16s2f", version, flags, labels, 7, TEXT[16:], *logits)


def test_the_format_of_a_record_is_what_the_schema_number_stands_for() -> None:
    assert CODEC.encode(TEXT, prediction(0.75)) == sealed(body())
    assert len(sealed(body())) == 40


def test_a_decoded_prediction_equals_the_one_encoded() -> None:
    original = prediction(truncated=True, tokens=512)
    assert CODEC.decode(TEXT, CODEC.encode(TEXT, original)) == original


@pytest.mark.parametrize(
    ("record", "check"),
    [
        (b"", "length"),
        (sealed(body())[:-1], "length"),
        (sealed(body()) + b"\0", "length"),
        (bytes(40), "tag"),
        (sealed(body(version=2)), "header"),
        (sealed(body(flags=2)), "header"),
        (sealed(body(labels=3)), "header"),
        (sealed(body(logits=(float("nan"), 0.5))), "logits"),
        (sealed(body(logits=(float("inf"), 0.5))), "logits"),
    ],
)
def test_a_record_that_fails_a_check_is_corrupt_and_says_which(record: bytes, check: str) -> None:
    with pytest.raises(CorruptRecordError, match=check):
        CODEC.decode(TEXT, record)


def test_a_sound_record_of_another_text_is_corrupt() -> None:
    with pytest.raises(CorruptRecordError, match="fingerprint"):
        CODEC.decode(digest("another film"), sealed(body()))


def test_a_text_that_shares_only_the_address_does_not_share_the_prediction() -> None:
    with pytest.raises(CorruptRecordError, match="fingerprint"):
        CODEC.decode(TEXT[:16] + bytes(16), sealed(body()))


def test_a_model_with_other_labels_does_not_read_the_record() -> None:
    three = Codec(MODEL, Postprocessor(["NEGATIVE", "NEUTRAL", "POSITIVE"], "softmax"))
    with pytest.raises(CorruptRecordError, match="length"):
        three.decode(TEXT, sealed(body()))


@pytest.mark.parametrize("logit", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_not_encoded(logit: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        CODEC.encode(TEXT, Prediction((logit, 0.5), "NEGATIVE", 7, truncated=False))


def test_a_logit_that_float32_would_round_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="float32"):
        CODEC.encode(TEXT, Prediction((0.9, 0.1), "NEGATIVE", 7, truncated=False))


def test_a_prediction_of_another_number_of_labels_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="1 logits for 2 labels"):
        CODEC.encode(TEXT, Prediction((0.25,), "ONLY", 7, truncated=False))
