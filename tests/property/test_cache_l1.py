"""L1 does what a plain list of entries, searched from end to end, would do, and never exceeds its bound."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mlapi.cache.l1 import cost
from mlapi.observability.metrics import Metrics
from mlapi.predictions import Prediction
from tests.stores import POSTPROCESSOR, Clock, memory_store, prediction, texts, value

TTL_S = 10.0
DIGESTS = texts(6)
# Of three sizes: what one score needs to be written out differs.
PREDICTIONS = [
    prediction(0.75),
    prediction(0.7127904295921326),
    POSTPROCESSOR.prediction((0.0, 1.0), tokens=1, truncated=True),
]
MAX_BYTES = 3 * max(map(cost, PREDICTIONS)) + 20

digests = st.sampled_from(DIGESTS)


class MemoryAgainstList(RuleBasedStateMachine):
    """Both see the same operations; the reference keeps (digest, prediction, expiry), least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.metrics = Metrics()
        self.store = memory_store(self.metrics, max_bytes=MAX_BYTES, ttl_s=TTL_S, clock=self.clock)
        self.reference: list[tuple[bytes, Prediction, float]] = []

    @rule(digest=digests, stored=st.sampled_from(PREDICTIONS))
    def put(self, digest: bytes, stored: Prediction) -> None:
        self.store.put(digest, stored)
        self.reference = [entry for entry in self.reference if entry[0] != digest]
        self.reference.append((digest, stored, self.clock.now + TTL_S))
        while sum(cost(entry[1]) for entry in self.reference) > MAX_BYTES:
            self.reference.pop(0)

    @rule(asked=st.lists(digests, max_size=4))
    def look_up(self, asked: list[bytes]) -> None:
        expected = []
        for digest in asked:
            entry = next((entry for entry in self.reference if entry[0] == digest), None)
            if entry is not None:
                self.reference.remove(entry)
                if entry[2] > self.clock.now:
                    self.reference.append(entry)
                else:
                    entry = None
            expected.append(entry and entry[1])
        assert self.store.lookup(asked) == expected

    @rule(asked=st.lists(digests, max_size=4), times=st.sampled_from([1, 5]))
    def look_up_if_all_are_there(self, asked: list[bytes], times: int) -> None:
        asked = asked * times
        held = {digest: (stored, expiry) for digest, stored, expiry in self.reference if expiry > self.clock.now}
        if asked and held.keys() >= set(asked):
            expected = [held[digest][0] for digest in asked]
            for digest in asked:
                entry = next(entry for entry in self.reference if entry[0] == digest)
                self.reference.remove(entry)
                self.reference.append(entry)
        else:
            expected = None
        assert self.store.lookup_all(asked) == expected

    @rule(seconds=st.sampled_from([0.5, 4.0, TTL_S]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def never_more_than_the_bound(self) -> None:
        held = value(self.metrics, "mlapi_cache_bytes", tier="l1")
        assert held is not None
        assert held <= MAX_BYTES
        assert held == sum(cost(entry[1]) for entry in self.reference)
        assert len(self.store) == len(self.reference)


TestMemoryAgainstList = MemoryAgainstList.TestCase
