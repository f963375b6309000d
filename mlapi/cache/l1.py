"""L1: predictions in this process, the least recently used dropped first, bounded by bytes and by age."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction

ENTRY_BYTES: Final = 490
LOGIT_BYTES: Final = 32
"""What an entry costs beside its rendering: a constant part, and one float and its pointer for each logit.

Measured on CPython 3.11, x86-64, with predictions of 2 and of 5 labels: tracemalloc saw 420 to 461 bytes for the
constant part (digest, `Prediction`, the tuples, and a share of the ordered dictionary that depends on how full its
table is), and over 200 000 entries the resident memory of the process grew by up to 490 an entry. The largest counts,
because resident memory is what a pod is killed for.
"""

_FEW: Final = 16
"""Up to so many, a look at each is faster than a few at all of them."""

_PREDICTION: Final = itemgetter(0)
_EXPIRY: Final = itemgetter(1)


LABEL_BYTES: Final = 44
"""What rendering one label and its score as JSON adds to the label's own bytes: `{"label":"","score":},` and a float32
in its longest decimal form, of 21 characters; 22 of them are the frame."""


def cost(prediction: Prediction) -> int:
    """Return how many bytes a stored prediction takes, Python's overhead included.

    It is rendered after it was stored, when it is first asked for; until then that is reckoned with. The other labels
    are taken to be as long as the best one.
    """
    return ENTRY_BYTES + (LOGIT_BYTES + LABEL_BYTES + len(prediction.label)) * len(prediction.logits)


class MemoryStore:
    """Predictions by text digest; for one event loop, without a lock.

    Below half its bound nothing will be dropped soon, and a look-up leaves the order as it is: which entry was used
    last is kept from there on, when whatever is still asked for has time to show it.

    Attributes:
        keeps: whether it stores anything.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        """Start empty.

        Args:
            max_bytes: never hold more than this, by the measure of `cost`; 0 stores nothing.
            ttl_s: how long an entry is served, in seconds; each lives between 0.9 and 1.1 times as long.
            clock: monotonic time in seconds.
            jitter: uniform random numbers in [0, 1).
            metrics: where entries, bytes and operations are shown.
        """
        self.keeps = max_bytes > 0
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._jitter = jitter
        self._entries: OrderedDict[bytes, tuple[Prediction, float, int]] = OrderedDict()
        self._bytes = 0
        self._hits = metrics.cache_operations.labels("l1", "get", "hit")
        self._misses = metrics.cache_operations.labels("l1", "get", "miss")
        self._stored = metrics.cache_operations.labels("l1", "set", "ok")
        self._evicted = metrics.cache_evictions.labels("l1")
        self._refused = metrics.cache_operations.labels("l1", "set", "skipped")
        metrics.cache_entries.labels("l1").set_function(lambda: len(self._entries))
        # Expired entries that nobody has asked for count.
        metrics.cache_bytes.labels("l1").set_function(lambda: self._bytes)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, digest: object) -> bool:
        """Whether an entry is held, expired or not; counts nothing."""
        return digest in self._entries

    def lookup(self, digests: Sequence[bytes]) -> list[Prediction | None]:
        """Return what is stored, in the order asked for; None where nothing is."""
        if not self._entries:
            self._misses.inc(len(digests))
            return [None] * len(digests)
        now = self._clock()
        entries = self._entries
        ordered = self._ordered()
        found: list[Prediction | None] = []
        hits = 0
        for digest in digests:
            entry = entries.get(digest)
            if entry is None:
                found.append(None)
            elif entry[1] <= now:
                self._remove(digest)
                found.append(None)
            else:
                if ordered:
                    entries.move_to_end(digest)
                found.append(entry[0])
                hits += 1
        # Counted once a call: a counter's lock costs more than the look-up that it counts.
        if hits:
            self._hits.inc(hits)
        if hits < len(found):
            self._misses.inc(len(found) - hits)
        return found

    def lookup_all(self, digests: Sequence[bytes]) -> list[Prediction] | None:
        """Return what is stored if that is every text; else None, and nothing happened: the caller will `lookup`."""
        entries = self._entries
        if not entries:
            return None
        now = self._clock()
        if len(digests) > _FEW:
            held = [entry for entry in map(entries.get, digests) if entry is not None]
            if len(held) < len(digests) or min(map(_EXPIRY, held)) <= now:
                return None
            if self._ordered():
                deque(map(entries.move_to_end, digests), maxlen=0)
            self._hits.value += len(held)
            return list(map(_PREDICTION, held))
        found = []
        for digest in digests:
            entry = entries.get(digest)
            if entry is None or entry[1] <= now:
                return None
            found.append(entry[0])
        if self._ordered():
            for digest in digests:
                entries.move_to_end(digest)
        self._hits.value += len(found)
        return found or None

    def put(self, digest: bytes, prediction: Prediction) -> bool:
        """Store a prediction as the most recently used, unless it alone exceeds the bound; nothing where that is 0.

        Returns:
            Whether it is stored.

        Raises:
            ValueError: a logit is not finite.
        """
        if not self.keeps:
            return False
        if not all(map(math.isfinite, prediction.logits)):
            msg = f"not finite: {prediction.logits}"
            raise ValueError(msg)
        self._remove(digest)
        size = cost(prediction)
        if size > self._max_bytes:
            self._refused.inc()
            return False
        while self._bytes + size > self._max_bytes:
            self._bytes -= self._entries.popitem(last=False)[1][2]
            self._evicted.inc()
        expires = self._clock() + self._ttl_s * (0.9 + 0.2 * self._jitter())
        self._entries[digest] = (prediction, expires, size)
        self._bytes += size
        self._stored.inc()
        return True

    def put_many(self, predictions: Mapping[bytes, Prediction]) -> set[bytes]:
        """Store predictions, and return the texts of those that it does not keep.

        Raises:
            ValueError: a logit is not finite.
        """
        return {digest for digest, prediction in predictions.items() if not self.put(digest, prediction)}

    async def close(self) -> None:
        """Let go of everything."""
        self._entries.clear()
        self._bytes = 0

    def _ordered(self) -> bool:
        """Whether it matters which entry was used last."""
        return self._bytes >= self._max_bytes >> 1

    def _remove(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._bytes -= entry[2]
