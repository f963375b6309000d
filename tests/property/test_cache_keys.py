"""No two texts, and no two models, share an entry."""

from hypothesis import given
from hypothesis import strategies as st

from mlapi.cache.keys import KeyMaker, namespace, redis_key
from tests.stores import MODEL, OTHER_MODEL

any_text = st.binary()


@given(any_text)
def test_a_text_has_one_digest_whoever_computes_it(text: bytes) -> None:
    assert KeyMaker(MODEL).digest(text) == KeyMaker(MODEL).digest(text)
    assert len(KeyMaker(MODEL).digest(text)) == 32


@given(any_text, any_text)
def test_two_texts_share_a_digest_only_if_they_are_the_same(one: bytes, other: bytes) -> None:
    digest = KeyMaker(MODEL).digest
    assert (digest(one) == digest(other)) == (one == other)


@given(any_text, any_text)
def test_address_and_fingerprint_tell_texts_apart_on_their_own(one: bytes, other: bytes) -> None:
    first, second = KeyMaker(MODEL).digest(one), KeyMaker(MODEL).digest(other)
    assert (first[:16] == second[:16]) == (one == other)
    assert (first[16:] == second[16:]) == (one == other)


@given(any_text)
def test_two_models_share_neither_digest_nor_key(text: bytes) -> None:
    one, other = KeyMaker(MODEL).digest(text), KeyMaker(OTHER_MODEL).digest(text)
    assert one != other
    assert redis_key(namespace(MODEL), one) != redis_key(namespace(OTHER_MODEL), one)


@given(st.lists(any_text))
def test_many_digests_at_once_are_those_of_the_texts_alone(texts: list[bytes]) -> None:
    keys = KeyMaker(MODEL)
    assert keys.digest_many(texts) == tuple(map(keys.digest, texts))
