"""Remembers what was read in a request's body, so that the same body need not be read twice."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Generic, TypeAlias, TypeVar

Digests: TypeAlias = tuple[bytes, ...]
T = TypeVar("T")

MAX_BODY_BYTES: Final = 4096
"""Longer bodies are not remembered: their texts take most of the time, and every other order is another body."""

_MAX_BYTES: Final = 4 * 1024 * 1024
_MARKS: Final = 4096
_BODY_COST: Final = 256
_TEXT_COST: Final = 80
"""What an entry takes, and each digest in it, in bytes: the objects' own sizes, and a share of the dictionary's."""


class KnownBodies(Generic[T]):
    """What was read in bodies that came more than once, the least recently used dropped first.

    A body is known by 128 bits of BLAKE2b, salted so that nobody can prepare two bodies that share them; itself it is
    not kept. What a body holds never changes, nor do the limits that it was found to keep: nothing here can be stale.

    To hash, store and drop a body that comes once only would cost as much as to read it. So the first time leaves a
    mark, Python's own hash, and only a body that finds its mark is looked for and remembered. Marks overwrite each
    other: a body that lost its mark is read once more, and one that finds another's is looked for in vain.
    """

    def __init__(self, salt: bytes, size: Callable[[T], int], max_bytes: int = _MAX_BYTES) -> None:
        """Start empty.

        Args:
            salt: 16 random bytes.
            size: tells how much memory what was read in a body takes.
            max_bytes: what the entries take at most.
        """
        self._size = size
        self._hash = blake2b(digest_size=16, salt=salt).copy
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, T] = OrderedDict()
        self._marks = [0] * _MARKS

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, body: bytes) -> T | None:
        """Return what was read in a body, if it is known."""
        if len(body) > MAX_BODY_BYTES:
            return None
        mark = hash(body)
        if self._marks[mark % _MARKS] != mark:
            return None
        key = self._key(body)
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, body: bytes, read: T) -> None:
        """Mark a valid body that is not known, or remember what was read in it if it is marked."""
        cost = self._cost(read)
        if len(body) > MAX_BODY_BYTES or cost > self._max_bytes:
            return
        mark = hash(body)
        place = mark % _MARKS
        if self._marks[place] != mark:
            self._marks[place] = mark
            return
        self._entries[self._key(body)] = read
        self._bytes += cost
        while self._bytes > self._max_bytes:
            self._bytes -= self._cost(self._entries.popitem(last=False)[1])

    def _key(self, body: bytes) -> bytes:
        state = self._hash()
        state.update(body)
        return state.digest()

    def _cost(self, read: T) -> int:
        return _BODY_COST + self._size(read)


def digests_size(digests: Digests) -> int:
    """Return how much memory digests take."""
    return _TEXT_COST * len(digests)
