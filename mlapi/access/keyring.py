"""Which API keys are known, and which of them a request carries.

What is told apart takes the same work: whether an id is known shows neither in the answer nor in its time. A key of the
right form is hashed once, and the hash is compared with two others, whole, whatever the file has of that id; where it
has fewer, or knows no such id, with random ones.
"""

import math
import secrets
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keys_file import ALL_MODELS, KeyRecord
from mlapi.access.quota import Quota

_HASHES: Final = 2

Compare = Callable[[bytes, bytes], bool]


class Grant(NamedTuple):
    """What a key allows its bearer.

    Attributes:
        id: of the key.
        name: who has it.
        models: which it may ask; None: all.
        scopes: what it may do.
        until: when it ends, seconds since the epoch.
        quota: how much it may ask for; None: as much as it likes.
    """

    id: str
    name: str
    models: frozenset[str] | None
    scopes: frozenset[str]
    until: float
    quota: Quota | None = None


class _Entry(NamedTuple):
    id: str
    hashes: tuple[bytes, ...]
    grant: Grant | None


class Keyring:
    """The keys of one reading of the file. Immutable: a new file makes a new one."""

    def __init__(self, records: Iterable[KeyRecord], compare: Compare = compare_digest) -> None:
        """Take the keys; `compare` takes as long for hashes that are equal as for others."""
        self._compare = compare
        entries = [
            _Entry(record.id, _padded(bytes.fromhex(item) for item in record.sha256), _grant(record))
            for record in records
        ]
        self._places = {entry.grant.id: place for place, entry in enumerate(entries) if entry.grant}
        # Behind the keys as many that nobody has: a single one would always be in the processor's cache, and so faster.
        self._entries = entries + [_Entry(make_key().id, _padded(()), None) for _ in entries or (None,)]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ids(self) -> AbstractSet[str]:
        """The ids of the keys."""
        return self._places.keys()

    @property
    def models(self) -> frozenset[str]:
        """The models that the keys name."""
        return frozenset().union(*(entry.grant.models or () for entry in self._entries if entry.grant))

    def find(self, key: ApiKey) -> Grant | None:
        """Return what a key allows, whether or not its time is over; None if it is unknown."""
        digest = key.digest
        keys = len(self._places)
        # Both places are calculated, one is used.
        nobody = keys + hash(key.id) % (len(self._entries) - keys)
        key_id, hashes, grant = self._entries[self._places.get(key.id, nobody)]
        found = False
        for known in hashes:
            found |= self._compare(digest, known)
        # To find an id, the dictionary has read it from memory. Of nobody's, this does.
        return grant if key_id == key.id and found else None


def _padded(hashes: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return as many hashes for every key; no secret has those that are added."""
    given = tuple(hashes)
    return given + tuple(sha256(secrets.token_bytes(32)).digest() for _ in range(_HASHES - len(given)))


def _grant(record: KeyRecord) -> Grant:
    return Grant(
        record.id,
        record.name,
        None if ALL_MODELS in record.models else frozenset(record.models),
        frozenset(record.scopes),
        math.inf if record.expires is None else record.expires.timestamp(),
        record.quota,
    )
