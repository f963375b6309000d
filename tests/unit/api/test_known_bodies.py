"""Bodies are recognised by all of their bytes, within a bound of memory."""

from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.known_bodies import MAX_BODY_BYTES, KnownBodies

SALT = bytes(16)
ONE, OTHER = (b"1" * 32,), (b"2" * 32, b"3" * 32)


def key(bodies: KnownBodies, body: bytes) -> bytes:
    """What a short body is known by."""
    found = bodies.key(body)
    assert found
    return found


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_only_the_same_body_is_known(one: bytes, other: bytes) -> None:
    bodies = KnownBodies(SALT)
    bodies.put(key(bodies, one), ONE)
    assert bodies.get(key(bodies, one)) == ONE
    assert (bodies.get(key(bodies, other)) == ONE) == (one == other)


def test_the_least_recently_used_goes_first() -> None:
    bodies = KnownBodies(SALT, max_bytes=1_000)
    bodies.put(b"a", OTHER)
    bodies.put(b"b", OTHER)
    assert bodies.get(b"a") == OTHER
    bodies.put(b"c", OTHER)
    assert [bodies.get(body) for body in (b"a", b"b", b"c")] == [OTHER, None, OTHER]


def test_however_many_are_put_few_stay() -> None:
    bodies = KnownBodies(SALT, max_bytes=10_000)
    for number in range(1_000):
        bodies.put(b"%d" % number, ONE)
    assert len(bodies) == 10_000 // 336
    assert bodies.get(b"999") == ONE


def test_what_is_large_is_not_remembered() -> None:
    bodies = KnownBodies(SALT, max_bytes=100_000)
    bodies.put(key(bodies, b"many texts"), ONE * 10_000)
    assert len(bodies) == 0
    assert bodies.key(b"a" * MAX_BODY_BYTES)
    assert bodies.key(b"a" * (MAX_BODY_BYTES + 1)) is None


def test_the_body_itself_is_not_kept() -> None:
    bodies = KnownBodies(SALT)
    bodies.put(key(bodies, b"a secret that nobody may find"), ONE)
    assert "secret" not in repr(bodies._entries)


def test_another_salt_gives_another_name() -> None:
    assert KnownBodies(SALT).key(b"a") != KnownBodies(b"0" * 16).key(b"a")
