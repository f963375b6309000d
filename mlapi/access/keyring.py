"""Which API keys are known, and which of them a request carries.

Whether an id is known shows neither in the answer nor in its time: a key is looked up by its id and the SHA-256 of its
secret together. A dictionary compares what it holds with what is looked up only where all 64 bits of their hash values
are equal, so that a known id with a wrong secret is missed exactly as an unknown one is. Nor does the time tell
anything about a stored SHA-256: a caller can choose a secret, but not which SHA-256 it has.
"""

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from mlapi.access.key_text import ApiKey
from mlapi.access.keys_file import ALL_MODELS, KeyRecord
from mlapi.access.quota import Quota


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


class Keyring:
    """The keys of one reading of the file. Immutable: a new file makes a new one."""

    def __init__(self, records: Iterable[KeyRecord]) -> None:
        """Take the keys."""
        self._grants: dict[str, Grant] = {}
        self._by_secret: dict[tuple[str, bytes], Grant] = {}
        for record in records:
            grant = self._grants[record.id] = _grant(record)
            self._by_secret |= {(record.id, bytes.fromhex(item)): grant for item in record.sha256}

    def __len__(self) -> int:
        return len(self._grants)

    @property
    def ids(self) -> AbstractSet[str]:
        """The ids of the keys."""
        return self._grants.keys()

    @property
    def models(self) -> frozenset[str]:
        """The models that the keys name."""
        return frozenset().union(*(grant.models or () for grant in self._grants.values()))

    def find(self, key: ApiKey) -> Grant | None:
        """Return what a key allows, whether or not its time is over; None if it is unknown."""
        return self._by_secret.get((key.id, key.digest))


def _grant(record: KeyRecord) -> Grant:
    return Grant(
        record.id,
        record.name,
        None if ALL_MODELS in record.models else frozenset(record.models),
        frozenset(record.scopes),
        math.inf if record.expires is None else record.expires.timestamp(),
        record.quota,
    )
