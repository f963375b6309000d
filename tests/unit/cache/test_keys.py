"""Which entry a text owns."""

import hashlib

import pytest

from mlapi.cache.keys import KeyMaker, address, fingerprint, namespace, redis_key, redis_keys
from tests.stores import MODEL


def test_a_digest_is_the_blake2b_of_the_text_personalised_with_the_model() -> None:
    seed = hashlib.blake2b(bytes.fromhex(MODEL), digest_size=32).digest()
    text = "naïve 文字".encode()
    expected = hashlib.blake2b(text, digest_size=32, salt=seed[:16], person=seed[16:]).digest()
    assert KeyMaker(MODEL).digest(text) == expected


def test_digesting_one_text_leaves_no_trace_in_the_next() -> None:
    keys = KeyMaker(MODEL)
    first = keys.digest(b"a")
    keys.digest(b"b")
    assert keys.digest(b"a") == first


def test_address_and_fingerprint_share_the_digest_between_them() -> None:
    digest = bytes(range(32))
    assert address(digest) == bytes(range(16))
    assert fingerprint(digest) == bytes(range(16, 32))


def test_the_redis_key_names_schema_model_and_address() -> None:
    key = redis_key(namespace(MODEL), bytes(range(32)))
    assert key == f"mlapi:3:{MODEL}:000102030405060708090a0b0c0d0e0f".encode()


def test_the_keys_of_many_texts_are_the_keys_of_each() -> None:
    digests = [bytes(range(first, first + 32)) for first in range(5)]
    assert redis_keys(namespace(MODEL), digests) == [redis_key(namespace(MODEL), digest) for digest in digests]


def test_a_model_digest_is_spelt_in_one_way_in_keys() -> None:
    assert namespace(MODEL.upper()) == namespace(MODEL)


@pytest.mark.parametrize("model_digest", ["", "ab" * 15, "ab" * 65, "not hexadecimal, but long enough to be one"])
def test_what_cannot_tell_models_apart_is_no_model_digest(model_digest: str) -> None:
    with pytest.raises(ValueError, match=r"model digest|hexadecimal"):
        KeyMaker(model_digest)
