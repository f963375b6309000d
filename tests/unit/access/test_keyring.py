"""Keys are found by id and secret, and what is unknown takes the same work as what is known."""

import json
import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.access.key_text import ApiKey, make_key, read_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import KeyRecord, read_keys, write_keys
from mlapi.access.quota import Quota
from mlapi.errors import ConfigurationError

IDS = st.from_regex(r"[a-z0-9]{8}", fullmatch=True)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
RECORDS = st.builds(
    KeyRecord,
    id=IDS,
    sha256=st.lists(HASHES, min_size=1, max_size=2).map(tuple),
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    models=st.just(("*",)) | st.just(("project", "lab")),
    scopes=st.sets(st.sampled_from(["predict", "explain", "feedback", "admin"]), min_size=1).map(tuple),
    quota=st.none() | st.builds(Quota, texts_per_second=st.floats(0.1, 1e6), burst=st.none() | st.integers(1, 1000)),
    expires=st.none() | st.datetimes(timezones=st.just(UTC)),
)


def record(key: ApiKey, *older: ApiKey) -> KeyRecord:
    return KeyRecord(key.id, tuple(item.digest.hex() for item in (*older, key)), "test")


def test_a_new_key_is_one_that_is_read() -> None:
    key = make_key()
    assert re.fullmatch(r"mlapi_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", str(key))
    assert read_key(str(key).encode()) == key
    assert make_key() != key
    assert make_key(key.id).id == key.id
    assert make_key(key.id) != key
    assert key.secret.decode() not in repr(key)


@given(st.binary(max_size=80) | st.from_regex(rb"mlapi_[a-z0-9]{7,9}_[A-Za-z0-9_-]{42,44}\n?", fullmatch=True))
def test_reading_a_key_never_fails_and_loses_nothing(text: bytes) -> None:
    key = read_key(text)
    assert key is None or str(key).encode() == text


@given(st.lists(RECORDS, unique_by=lambda item: item.id, max_size=5))
def test_a_file_holds_what_was_written(keys: list[KeyRecord]) -> None:
    assert read_keys(write_keys(keys)) == tuple(keys)


GOOD = {"id": "k3f9a1c2", "sha256": ["00" * 32], "name": "shop"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "K3F9A1C2"},
        {"id": "k3f9a1c"},
        {"sha256": []},
        {"sha256": ["00" * 32] * 3},
        {"sha256": ["00" * 31]},
        {"sha256": ["mlapi_k3f9a1c2_" + "s" * 43]},
        {"name": ""},
        {"models": []},
        {"models": ["a b"]},
        {"scopes": []},
        {"scopes": ["write"]},
        {"expires": "2027-03-01T00:00:00"},
        {"expires": "soon"},
        {"quota": {}},
        {"quota": {"burst": 5}},
        {"quota": {"texts_per_second": 0}},
        {"quota": {"texts_per_day": 1.5}},
        {"quota": {"texts_per_second": 1, "cost_hit": 2}},
        {"expire": "2027-03-01T00:00:00Z"},
    ],
    ids=str,
)
def test_a_wrong_file_is_refused_without_quoting_it(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(json.dumps({"keys": [GOOD | wrong]}).encode())
    assert "keys[0]" in caught.value.detail or "expire" in caught.value.detail
    assert "sss" not in caught.value.detail


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"keys": [], "more": 1}', b"[" * 10_000])
def test_what_is_no_file_of_keys_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError):
        read_keys(content)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two keys have the id k3f9a1c2"):
        read_keys(json.dumps({"keys": [GOOD, GOOD]}).encode())


def test_both_secrets_of_a_key_are_let_in_and_no_other() -> None:
    old, other = make_key(), make_key()
    new = make_key(old.id)
    keyring = Keyring([record(new, old), record(other)])
    assert len(keyring) == 2
    for key in (old, new):
        grant = keyring.find(key)
        assert grant is not None
        assert grant.id == old.id
    assert keyring.find(make_key(old.id)) is None
    assert keyring.find(make_key()) is None
    assert keyring.find(ApiKey(other.id, old.secret)) is None


class Watched(str):
    """An id that counts what it is compared with."""

    __slots__ = ("compared",)
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.compared = getattr(self, "compared", 0) + 1
        return str.__eq__(self, other)


def test_a_known_id_with_a_wrong_secret_is_compared_with_as_much_as_an_unknown_one() -> None:
    known, rotating = make_key("aaaaaaaa"), make_key("bbbbbbbb")
    keyring = Keyring([record(known), record(rotating, make_key("bbbbbbbb"))])
    seen = {}
    for name, key in {
        "right": known,
        "wrong secret": make_key("aaaaaaaa"),
        "wrong secret of two": make_key("bbbbbbbb"),
        "unknown id": make_key("cccccccc"),
    }.items():
        watched = Watched(key.id)
        keyring.find(ApiKey(watched, key.secret))
        seen[name] = getattr(watched, "compared", 0)
    assert seen.pop("right") > 0
    assert seen == dict.fromkeys(seen, 0)
