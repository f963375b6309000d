"""Bodies are recognised by all of their bytes, when they come again, within a bound of memory."""

from hypothesis import given
from hypothesis import strategies as st

from mlapi.server.known_bodies import MAX_BODY_BYTES, Digests, KnownBodies, digests_size

SALT = bytes(16)
ONE, OTHER = (b"1" * 32,), (b"2" * 32, b"3" * 32)


def put_twice(bodies: KnownBodies[Digests], body: bytes, digests: tuple[bytes, ...] = ONE) -> None:
    """A body comes, and comes again."""
    for _ in range(2):
        bodies.put(body, digests)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_only_the_same_body_is_known(one: bytes, other: bytes) -> None:
    bodies = KnownBodies(SALT, digests_size)
    put_twice(bodies, one)
    assert bodies.get(one) == ONE
    assert (bodies.get(other) == ONE) == (one == other)


def test_a_body_that_comes_once_is_not_remembered() -> None:
    bodies = KnownBodies(SALT, digests_size)
    for number in range(1_000):
        bodies.put(b"%d" % number, ONE)
        assert bodies.get(b"%d" % number) is None
    assert len(bodies) == 0


def test_two_bodies_with_one_mark_are_told_apart() -> None:
    bodies = KnownBodies(SALT, digests_size)
    put_twice(bodies, b"a")
    # A body that happens to have the same mark would be looked for, by its own key.
    bodies._marks[hash(b"b") % len(bodies._marks)] = hash(b"b")
    assert bodies.get(b"b") is None


def test_the_least_recently_used_goes_first() -> None:
    bodies = KnownBodies(SALT, digests_size, max_bytes=1_000)
    put_twice(bodies, b"a", OTHER)
    put_twice(bodies, b"b", OTHER)
    assert bodies.get(b"a") == OTHER
    put_twice(bodies, b"c", OTHER)
    assert [bodies.get(body) for body in (b"a", b"b", b"c")] == [OTHER, None, OTHER]


def test_however_many_are_put_few_stay() -> None:
    bodies = KnownBodies(SALT, digests_size, max_bytes=10_000)
    for number in range(1_000):
        put_twice(bodies, b"%d" % number)
    assert len(bodies) == 10_000 // 336
    assert bodies.get(b"999") == ONE


def test_what_is_large_is_not_remembered() -> None:
    bodies = KnownBodies(SALT, digests_size, max_bytes=100_000)
    put_twice(bodies, b"many texts", ONE * 10_000)
    put_twice(bodies, b"a" * (MAX_BODY_BYTES + 1))
    assert len(bodies) == 0
    put_twice(bodies, b"a" * MAX_BODY_BYTES)
    assert bodies.get(b"a" * MAX_BODY_BYTES) == ONE


def test_the_body_itself_is_not_kept() -> None:
    bodies = KnownBodies(SALT, digests_size)
    put_twice(bodies, b"a secret that nobody may find")
    assert "secret" not in repr(vars(bodies))
